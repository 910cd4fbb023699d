"""Hostile pickles: what would run code is refused, and so is everything malformed (faults 1 to 7 and 15)."""

import os
import pickle

import pytest
from checkpoint.hostile import FLOATS, Call, assert_file_refused, dumps, tensor_pickle, torch_zip

from pytorch_to_mlx.errors import FormatError, UnsafeError


def test_os_system_by_global_and_reduce(tmp_path, canary):
    """Fault 1."""
    assert pickle.loads(dumps(Call(os.system, "exit 7"))) >> 8 == 7  # the attack is real
    path = torch_zip(tmp_path / "x.pth", dumps({"w": Call(os.system, f"touch {canary}")}))
    error = assert_file_refused(path, UnsafeError, "'posix.system' is not on the allowlist", "nothing was run")
    assert error.exit_code == 3


def test_os_system_in_the_legacy_format(tmp_path, canary):
    """Fault 1."""
    magic = dumps(0x1950A86A20F9469CFC6C) + dumps(1001) + dumps({"little_endian": True})
    (tmp_path / "x.pth").write_bytes(magic + dumps(Call(os.system, f"touch {canary}")) + dumps([]))
    assert_file_refused(tmp_path / "x.pth", UnsafeError, "'posix.system' is not on the allowlist")


def test_stack_global_with_memoised_strings(tmp_path, canary):
    """Fault 2."""
    strings = b"(\x8c\x05posix\x94\x8c\x06system\x94t"

    def payload(command: str) -> bytes:
        return b"\x80\x04" + strings + b"h\x00h\x01\x93\x8c" + bytes([len(command)]) + command.encode() + b"\x85R."

    assert pickle.loads(payload("exit 7")) >> 8 == 7  # the attack is real
    assert_file_refused(torch_zip(tmp_path / "x.pth", payload(f"touch {canary}")), UnsafeError, "'posix.system'")


RUNNERS = {
    "INST": b"(X\x02\x00\x00\x00hiios\nsystem\n.",
    "OBJ": b"(X\x02\x00\x00\x00hio.",
    "NEWOBJ": b"N)\x81.",
    "NEWOBJ_EX": b"N)}\x92.",
    "EXT1": b"\x82\x01.",
    "EXT2": b"\x83\x01\x00.",
    "EXT4": b"\x84\x01\x00\x00\x00.",
    "PERSID": b"Pstorage\n.",
}


@pytest.mark.parametrize("opcode", RUNNERS)
def test_opcodes_that_make_objects(tmp_path, canary, opcode):
    """Fault 3."""
    path = torch_zip(tmp_path / "x.pth", b"\x80\x02" + RUNNERS[opcode])
    assert_file_refused(path, UnsafeError, f"opcode {opcode} is not used by state dicts")


@pytest.mark.parametrize("target", ["OrderedDict", "tensor", "Size"])
def test_build_sets_state(tmp_path, canary, target):
    """Fault 4."""
    value = {
        "OrderedDict": b"ccollections\nOrderedDict\n)R",
        "tensor": tensor_pickle()[2:-1],
        "Size": b"ctorch\nSize\n)\x85R",
    }[target]
    state = b"}X\x0c\x00\x00\x00__setstate__X\x01\x00\x00\x00xs"
    path = torch_zip(tmp_path / "x.pth", b"\x80\x02" + value + state + b"b.", {"0": FLOATS})
    assert_file_refused(path, UnsafeError, "BUILD", "nothing was run")


EVASIONS = """pip.main runpy.run_path runpy._run_code cProfile.run cProfile.runctx profile.run pydoc.pipepager
pydoc.locate ctypes.CDLL ctypes.cdll.LoadLibrary idlelib.run.Executive.runcode
idlelib.autocomplete.AutoComplete.get_entity torch.utils.collect_env.run torch.utils._config_module.load_config
torch.load torch.hub.load torch.jit.load
torch._inductor.codecache.compile_file torch.fx.experimental.symbolic_shapes.ShapeEnv.evaluate_guards_expression
torch.utils.bottleneck.__main__.run_autograd_prof torch.storage._load_from_bytes numpy.f2py.crackfortran.getlincoef
numpy.testing._private.utils.runstring numpy.load numpy.fromfile builtins.eval builtins.exec builtins.getattr
builtins.__import__ builtins.print __builtin__.eval __builtin__.apply os.system posix.popen nt.system subprocess.Popen
operator.attrgetter operator.methodcaller functools.partial functools.reduce importlib.import_module types.FunctionType
types.CodeType marshal.loads pickle.loads _pickle.loads codecs.decode timeit.timeit pdb.run bdb.Bdb.run trace.Trace.run
code.InteractiveInterpreter.runcode asyncio.unix_events._UnixSubprocessTransport._start distutils.file_util.write_file
venv.create webbrowser.open shutil.rmtree shutil.move pathlib.Path.write_text tempfile.mktemp socket.create_connection
urllib.request.urlopen requests.get aiohttp.client.ClientSession http.client.HTTPSConnection sys.settrace sys.modules
lib2to3.pgen2.grammar.Grammar.loads lib2to3.pgen2.pgen.ParserGenerator.make_label ensurepip._run_pip
_osx_support._read_output _aix_support._read_cmd_output zipimport.zipimporter argparse.Namespace
torch.nn.modules.linear.Linear torch._tensor._rebuild_from_type_v2 collections.OrderedDict.__init__
torch.serialization.load torch.FloatStorage.from_file torch.float32.__class__
torch._utils._rebuild_sparse_tensor""".split()


@pytest.mark.parametrize("name", EVASIONS)
def test_only_the_allowlist_is_known(tmp_path, canary, name):
    """Fault 5."""
    module, _, attribute = name.rpartition(".")
    pickled = b"\x80\x02c" + f"{module}\n{attribute}\n".encode() + b"X\x01\x00\x00\x00x\x85R."
    assert_file_refused(torch_zip(tmp_path / "x.pth", pickled), UnsafeError, f"'{name}' is not on the allowlist")


def test_payload_first_then_garbage(tmp_path, canary):
    """Fault 6."""
    payload = dumps(Call(os.system, f"touch {canary}"))[:-1]
    assert_file_refused(torch_zip(tmp_path / "x.pth", payload + b"\xff\xfe\xfd garbage"), UnsafeError, "posix.system")
    assert_file_refused(torch_zip(tmp_path / "y.pth", b"\x80\x02}\xff\xfe"), FormatError, "malformed pickle")
    assert_file_refused(
        torch_zip(tmp_path / "z.pth", tensor_pickle() + payload + b".", {"0": FLOATS}), FormatError, "after"
    )


@pytest.mark.parametrize(
    "pickled",
    [
        b"]K\x01K\x02s.",
        b"NK\x01K\x02s.",
        b"](K\x01K\x02u.",
        b"}K\x01a.",
        b"}(K\x01u.",
        b"}]K\x01s.",
        b"a.",
        b"s.",
        b"u.",
    ],
)
def test_items_set_on_the_wrong_type(tmp_path, pickled):
    """Fault 7."""
    assert_file_refused(torch_zip(tmp_path / "x.pth", b"\x80\x02" + pickled), FormatError, "malformed pickle")


BOMBS = {
    "dup": b"\x80\x02]" + b"2" * 10 + b".",
    "many_opcodes": b"\x80\x02(" + b"N" * 3_000_000 + b"t.",
    "cyclic_dict": b"\x80\x02}q\x00X\x01\x00\x00\x00ah\x00s.",
    "cyclic_list": b"\x80\x02]q\x00h\x00a.",
    "deep": b"\x80\x02" + b"}X\x01\x00\x00\x00a" * 200_000 + b"N" + b"s" * 200_000 + b".",
    "deep_tuples": b"\x80\x02)" + b"\x85" * 500_000 + b".",
    "tuple_as_key": b"\x80\x02}(NNtNs.",
    "marks": b"\x80\x02" + b"(" * 1_000_000 + b".",
    "memo_missing": b"\x80\x02h\x05.",
    "string_too_long": b"\x80\x02X\xff\xff\xff\x7fabc.",
    "string_8_bytes": b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\x0fabc.",
    "no_stop": b"\x80\x02N",
    "empty": b"",
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_pickle_bombs(tmp_path, bomb):
    """Fault 15."""
    assert_file_refused(torch_zip(tmp_path / "x.pth", BOMBS[bomb]), FormatError)


def test_exponential_expansion(tmp_path):
    """Fault 15."""
    body = b"]q\x00"  # each dict holds the one before twice: 2^40 leaves when walked
    for level in range(1, 41):
        back = b"h" + bytes([level - 1])
        body += b"}(X\x01\x00\x00\x00a" + back + b"X\x01\x00\x00\x00b" + back + b"uq" + bytes([level])
    path = torch_zip(tmp_path / "x.pth", b"\x80\x02(" + body + b"l.")
    assert_file_refused(path, FormatError, "far more time or memory", limit_s=5)
