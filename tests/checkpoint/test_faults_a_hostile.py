"""Faults A: hostile checkpoints. The number in each test's name is the fault's number."""

import ast
import base64
import os
import pickle
import struct
import subprocess
import sys
import tarfile
import time
import zipfile
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from checkpoint.hostile import Call, dumps, read_all, refused, refused_file, tensor_pickle, torch_zip
from onnx import TensorProto, helper, numpy_helper
from safetensors.torch import save_file

import pytorch_to_mlx.checkpoint as room
from pytorch_to_mlx.checkpoint import open_checkpoint
from pytorch_to_mlx.errors import FormatError, UnsafeError

FLOATS = np.arange(4, dtype=np.float32).tobytes()


@pytest.fixture
def canary(tmp_path):
    """A file that a payload would make; it must not be there in the end."""
    path = tmp_path / "canary"
    yield path
    assert not path.exists()


def test_fault_01_os_system_by_global_and_reduce(tmp_path, canary):
    assert pickle.loads(dumps(Call(os.system, "exit 7"))) >> 8 == 7  # the attack is real
    path = torch_zip(tmp_path / "x.pth", dumps({"w": Call(os.system, f"touch {canary}")}))
    error = refused_file(path, UnsafeError, "'posix.system' is not on the allowlist", "nothing was run")
    assert error.exit_code == 3


def test_fault_01_in_the_legacy_format(tmp_path, canary):
    magic = dumps(0x1950A86A20F9469CFC6C) + dumps(1001) + dumps({"little_endian": True})
    (tmp_path / "x.pth").write_bytes(magic + dumps(Call(os.system, f"touch {canary}")) + dumps([]))
    refused_file(tmp_path / "x.pth", UnsafeError, "'posix.system' is not on the allowlist")


def test_fault_02_stack_global_with_memoised_strings(tmp_path, canary):
    strings = b"(\x8c\x05posix\x94\x8c\x06system\x94t"

    def payload(command: str) -> bytes:
        return b"\x80\x04" + strings + b"h\x00h\x01\x93\x8c" + bytes([len(command)]) + command.encode() + b"\x85R."

    assert pickle.loads(payload("exit 7")) >> 8 == 7  # the attack is real
    refused_file(torch_zip(tmp_path / "x.pth", payload(f"touch {canary}")), UnsafeError, "'posix.system'")


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
def test_fault_03_opcodes_that_make_objects(tmp_path, canary, opcode):
    path = torch_zip(tmp_path / "x.pth", b"\x80\x02" + RUNNERS[opcode])
    refused_file(path, UnsafeError, f"opcode {opcode} is not used by state dicts")


@pytest.mark.parametrize("target", ["OrderedDict", "tensor", "Size"])
def test_fault_04_build_sets_state(tmp_path, canary, target):
    value = {
        "OrderedDict": b"ccollections\nOrderedDict\n)R",
        "tensor": tensor_pickle()[2:-1],
        "Size": b"ctorch\nSize\n)\x85R",
    }[target]
    state = b"}X\x0c\x00\x00\x00__setstate__X\x01\x00\x00\x00xs"
    path = torch_zip(tmp_path / "x.pth", b"\x80\x02" + value + state + b"b.", {"0": FLOATS})
    refused_file(path, UnsafeError, "BUILD", "nothing was run")


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
def test_fault_05_only_the_allowlist_is_known(tmp_path, canary, name):
    module, _, attribute = name.rpartition(".")
    pickled = b"\x80\x02c" + f"{module}\n{attribute}\n".encode() + b"X\x01\x00\x00\x00x\x85R."
    refused_file(torch_zip(tmp_path / "x.pth", pickled), UnsafeError, f"'{name}' is not on the allowlist")


def test_fault_06_payload_first_then_garbage(tmp_path, canary):
    payload = dumps(Call(os.system, f"touch {canary}"))[:-1]
    refused_file(torch_zip(tmp_path / "x.pth", payload + b"\xff\xfe\xfd garbage"), UnsafeError, "posix.system")
    refused_file(torch_zip(tmp_path / "y.pth", b"\x80\x02}\xff\xfe"), FormatError, "malformed pickle")
    refused_file(torch_zip(tmp_path / "z.pth", tensor_pickle() + payload + b".", {"0": FLOATS}), FormatError, "after")


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
def test_fault_07_items_set_on_something_else(tmp_path, pickled):
    refused_file(torch_zip(tmp_path / "x.pth", b"\x80\x02" + pickled), FormatError, "malformed pickle")


def test_fault_07_storage_larger_than_its_record(tmp_path):
    path = torch_zip(tmp_path / "x.pth", tensor_pickle(numel=1000, size=(1000,)), {"0": FLOATS})
    refused_file(path, FormatError, "'w'", "claims 4000 bytes, the file has 16")
    path = torch_zip(tmp_path / "y.pth", tensor_pickle(key="../data.pkl"), {"0": FLOATS})
    refused_file(path, FormatError, "storage '../data.pkl' is missing")


def test_fault_08_tar_checkpoints(tmp_path):
    (tmp_path / "storages").write_bytes(dumps(1))
    with tarfile.open(tmp_path / "x.pt", "w") as archive:
        archive.add(tmp_path / "storages", "storages")
    refused_file(tmp_path / "x.pt", FormatError, "tar archive", "save it again with a current PyTorch")


def test_fault_09_there_is_no_unsafe_path():
    """The room imports neither torch nor any module that can unpickle or run text."""
    banned = {"torch", "pickle", "_pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve", "runpy", "importlib"}
    for path in Path(room.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module]
                if node.module == "importlib":
                    assert [alias.name for alias in node.names] == ["metadata"]
                    continue
            assert not {name.split(".")[0] for name in names} & banned, f"{path.name}: {names}"
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in {"eval", "exec", "__import__", "compile"}, path.name
            assert not (isinstance(node, ast.keyword) and node.arg == "allow_pickle"), path.name


def test_fault_10_torchscript(tmp_path):
    module = torch.nn.Linear(2, 2)
    with pytest.warns(DeprecationWarning):
        scripted = torch.jit.script(module)
        torch.jit.save(scripted, tmp_path / "x.pt")
    refused_file(tmp_path / "x.pt", FormatError, "TorchScript", "state_dict")


def test_fault_10_exported_program(tmp_path):
    path = tmp_path / "x.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x/archive_format", "pt2")
        archive.writestr("x/models/model.json", "{}")
        archive.writestr("x/data/weights/weight_0", FLOATS)
    refused_file(path, FormatError, ".pt2", "state_dict")


def patched(path: Path, old: bytes, new: bytes, *, which=slice(None)) -> Path:
    """Change bytes at chosen occurrences, the file's length kept."""
    assert len(old) == len(new)
    data = bytearray(path.read_bytes())
    places, at = [], data.find(old)
    while at >= 0:
        places.append(at)
        at = data.find(old, at + 1)
    assert places[which]
    for at in places[which]:
        data[at : at + len(new)] = new
    path.write_bytes(data)
    return path


def headers(path: Path, *, central: bool) -> list[int]:
    """Offsets of the local or central headers."""
    data, magic = path.read_bytes(), b"PK\x01\x02" if central else b"PK\x03\x04"
    return [at for at in range(len(data)) if data.startswith(magic, at)]


def good_zip(path: Path) -> Path:
    return torch_zip(path, tensor_pickle(), {"0": FLOATS})


def test_a_good_file_is_read(tmp_path):
    assert read_all(good_zip(tmp_path / "x.pth"))["w"].tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("flag", [0x1, 0x20, 0x40, 0x2000])
@pytest.mark.parametrize("central", [True, False], ids=["central", "local"])
def test_fault_11_zip_flags(tmp_path, flag, central):
    path = good_zip(tmp_path / "x.pth")
    data = bytearray(path.read_bytes())
    at = headers(path, central=central)[0] + (8 if central else 6)
    data[at : at + 2] = struct.pack("<H", flag)
    path.write_bytes(data)
    refused_file(path, FormatError, "data.pkl")


def test_fault_11_crc_is_wrong(tmp_path):
    path = good_zip(tmp_path / "x.pth")
    patched(path, FLOATS, np.arange(4, 8, dtype=np.float32).tobytes())
    refused_file(path, FormatError, "archive/data/0", "CRC")


@pytest.mark.parametrize("which", [slice(0, 1), slice(1, 2)], ids=["local", "central"])
def test_fault_11_names_differ(tmp_path, which):
    path = patched(good_zip(tmp_path / "x.pth"), b"archive/data.pkl", b"archive/evil.pkl", which=which)
    refused_file(path, FormatError, "headers disagree")


@pytest.mark.parametrize("field", [14, 18, 22], ids=["crc", "stored", "size"])
def test_fault_11_sizes_differ(tmp_path, field):
    path = good_zip(tmp_path / "x.pth")
    data = bytearray(path.read_bytes())
    data[headers(path, central=False)[0] + field] ^= 1
    path.write_bytes(data)
    refused_file(path, FormatError, "headers disagree")


def test_fault_12_duplicate_members(tmp_path):
    path = good_zip(tmp_path / "x.pth")
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(path, "a") as archive:
        archive.writestr("archive/data.pkl", dumps({}))
    refused_file(path, FormatError, "duplicate member 'archive/data.pkl'")
    path = torch_zip(tmp_path / "y.pth", tensor_pickle(), {"0": FLOATS}, extra={"Archive/DATA.pkl": b""})
    refused_file(path, FormatError, "duplicate member")


@pytest.mark.parametrize("name", ["../x", "/abs", "C:\\x", "C:x", "a\\b", "a/../../b", "a\nb", "a\x1b[31m"])
def test_fault_13_member_names(tmp_path, name):
    path = torch_zip(tmp_path / "x.pth", tensor_pickle(), {"0": FLOATS}, extra={name: b"x"})
    refused_file(path, FormatError, "no plain relative path")
    assert sorted(os.listdir(tmp_path)) == ["x.pth"]


def test_fault_13_nul_in_a_name(tmp_path):
    path = torch_zip(tmp_path / "x.pth", tensor_pickle(), {"0": FLOATS}, extra={"archive/evil": b"x"})
    refused_file(patched(path, b"archive/evil", b"archive/e\0il"), FormatError, "no plain relative path")


def test_fault_14_zip_bomb(tmp_path):
    path = tmp_path / "x.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros.npy", bytes(100 << 20))
    assert path.stat().st_size < 110_000
    refused_file(path, FormatError, "zeros.npy", "expands from", limit_s=1.0)


def test_fault_14_lying_sizes(tmp_path):
    path = tmp_path / "x.npz"
    np.savez_compressed(path, a=np.zeros(50_000, np.float32))
    data = bytearray(path.read_bytes())
    for at in [headers(path, central=True)[0] + 24, headers(path, central=False)[0] + 22]:
        data[at : at + 4] = struct.pack("<I", 1000)
    path.write_bytes(data)
    refused_file(path, FormatError, "a.npy")


def test_fault_14_compressed_and_nested_archives_are_no_checkpoints(tmp_path):
    inner = good_zip(tmp_path / "inner.pth").read_bytes()
    with zipfile.ZipFile(tmp_path / "x.pth", "w") as archive:
        archive.writestr("inner.pth", inner)
    refused_file(tmp_path / "x.pth", FormatError, "no data.pkl")
    with zipfile.ZipFile(tmp_path / "y.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", tensor_pickle())
        archive.writestr("a/data/0", FLOATS)
    refused_file(tmp_path / "y.pth", FormatError, "storage '0' is compressed")


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
def test_fault_15_pickle_bombs(tmp_path, bomb):
    refused_file(torch_zip(tmp_path / "x.pth", BOMBS[bomb]), FormatError)


def test_fault_15_expansion(tmp_path):
    body = b"]q\x00"  # each dict holds the one before twice: 2^40 leaves when walked
    for level in range(1, 41):
        back = b"h" + bytes([level - 1])
        body += b"}(X\x01\x00\x00\x00a" + back + b"X\x01\x00\x00\x00b" + back + b"uq" + bytes([level])
    path = torch_zip(tmp_path / "x.pth", b"\x80\x02(" + body + b"l.")
    refused_file(path, FormatError, "nested too deep or refer to themselves", limit_s=10)


@pytest.mark.parametrize(
    "numbers",
    [
        dict(size=(5,)),
        dict(offset=1),
        dict(offset=-1),
        dict(size=(2, 2), stride=(4, 1)),
        dict(size=(2,), stride=(-1,)),
        dict(size=(-1,)),
        dict(size=(-2, -2)),
        dict(size=(10**6, 10**6), stride=(0, 0)),
        dict(size=(2**40,), stride=(0,)),
        dict(size=(2**62, 4)),
        dict(size=(4,), stride=()),
        dict(size=(1,) * 40, stride=(1,) * 40),
        dict(size=(True,)),
        dict(size=(2.0,)),
        dict(offset=2**70),
        dict(numel=-4),
        dict(size=(2,), stride=(2**63,)),
    ],
    ids=str,
)
def test_fault_16_views_outside_their_storage(tmp_path, numbers):
    arguments = {"stride": (1,) * len(numbers.get("size", (4,))), **numbers}
    refused_file(torch_zip(tmp_path / "x.pth", tensor_pickle(**arguments), {"0": FLOATS}), FormatError)


MAGIC = {
    "html": (b"<!DOCTYPE html><html>404</html>", "HTML"),
    "lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "git lfs pull"),
    "gzip": (b"\x1f\x8b\x08\0\0\0", "gunzip"),
    "7z": (b"7z\xbc\xaf\x27\x1c\0\4", "7z archive"),
    "hdf5": (b"\x89HDF\r\n\x1a\n", "HDF5"),
    "pickle": (pickle.dumps({"a": 1}), "bare pickle"),
    "empty": (b"", "empty file"),
    "text": (b"hello", "not a"),
    "json": (b'{"error": "not found"}', "JSON"),
}


@pytest.mark.parametrize("suffix", [".pt", ".safetensors", ".onnx", ".npz", ".bin", ".npy"])
@pytest.mark.parametrize("kind", MAGIC)
def test_fault_17_wrong_magic(tmp_path, kind, suffix):
    data, word = MAGIC[kind]
    path = tmp_path / f"x{suffix}"
    path.write_bytes(data)
    refused_file(path, FormatError, *([word] if (kind, suffix) != ("text", ".onnx") else []))


@pytest.mark.parametrize("suffix", [".safetensors", ".onnx", ".npz"])
def test_fault_17_wrong_extension(tmp_path, suffix):
    refused_file(good_zip(tmp_path / f"x{suffix}"), FormatError)


def test_fault_17_unknown_extension(tmp_path):
    (tmp_path / "x.exe").write_bytes(b"MZ")
    refused_file(tmp_path / "x.exe", FormatError, "checkpoints are .safetensors")


# A zip made by `zip -P secret x.zip a.npy` would need a tool; this is one, with the flag and the 12-byte header.
ENCRYPTED = base64.b64decode(
    "UEsDBAoACQAAAAAAIQAAAAAAEAAAAAQAAAAFAAAAYS5ucHkAAAAAAAAAAAAAAABub3BlUEsBAh4DCgAJAAAAAAAhAAAAAAAQAAAABAAAAAUAAAAAAAAA"
    "AAAAAKSBAAAAAGEubnB5UEsFBgAAAAABAAEAMwAAADMAAAAAAA=="
)


@pytest.mark.parametrize("suffix", [".npz", ".pth"])
def test_fault_18_encrypted_zip(tmp_path, suffix):
    (tmp_path / f"x{suffix}").write_bytes(ENCRYPTED)
    refused_file(tmp_path / f"x{suffix}", FormatError, "a.npy", "is encrypted")


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_fault_19_object_arrays(tmp_path, canary, suffix):
    array = np.array([Call(os.system, f"touch {canary}")], dtype=object)
    path = tmp_path / f"x{suffix}"
    np.save(path, array, allow_pickle=True) if suffix == ".npy" else np.savez(path, x=array)
    refused_file(path, UnsafeError, "object array", "nothing was run")


# --- ONNX ---------------------------------------------------------------------------------------------------------


def onnx_with(tmp_path, *initializers, nodes=()) -> Path:
    path = tmp_path / "x.onnx"
    path.write_bytes(
        helper.make_model(helper.make_graph(list(nodes), "g", [], [], list(initializers))).SerializeToString()
    )
    return path


def external(location="w.data", **keys) -> TensorProto:
    tensor = TensorProto(name="a.w", data_type=1, dims=[4], data_location=TensorProto.EXTERNAL)
    for key, value in {"location": location, **keys}.items():
        if value is not None:
            tensor.external_data.add(key=key, value=str(value))
    return tensor


@pytest.mark.parametrize(
    "location", ["../../etc/passwd", "a/../../b", "/etc/passwd", "C:\\x", "", "..\\x", "a\0b", None]
)
def test_fault_20_external_data_outside_the_folder(tmp_path, location):
    refused_file(onnx_with(tmp_path, external(location)), FormatError, "a.w")


@pytest.mark.parametrize("link", ["file", "parent", "hard"])
def test_fault_20_external_data_through_links(tmp_path, link):
    inside, outside = tmp_path / "model", tmp_path / "secret"
    inside.mkdir()
    outside.mkdir()
    (outside / "w.data").write_bytes(FLOATS)
    location = "w.data"
    if link == "file":
        (inside / "w.data").symlink_to(outside / "w.data")
    elif link == "hard":
        os.link(outside / "w.data", inside / "w.data")
    else:
        (inside / "sub").symlink_to(outside)
        location = "sub/w.data"
    refused_file(onnx_with(inside, external(location)), FormatError, "a.w", "link")


def test_fault_20_external_data_in_the_hub_cache_is_read(tmp_path):
    """snapshots/REVISION/file -> ../../blobs/HASH is how the hub's own cache looks; a link out of it is refused."""
    blobs, snapshot = tmp_path / "models--a--b" / "blobs", tmp_path / "models--a--b" / "snapshots" / "abc"
    blobs.mkdir(parents=True)
    snapshot.mkdir(parents=True)
    (blobs / "123").write_bytes(FLOATS)
    (snapshot / "w.data").symlink_to("../../blobs/123")
    path = onnx_with(snapshot, external())
    assert read_all(path)["a.w"].tolist() == [0, 1, 2, 3]
    (snapshot / "w.data").unlink()
    (tmp_path / "secret").write_bytes(FLOATS)
    (snapshot / "w.data").symlink_to("../../../secret")
    refused_file(path, FormatError, "symbolic link")


@pytest.mark.parametrize(
    "keys",
    [
        dict(offset=-1),
        dict(offset="1e3"),
        dict(offset=" 4"),
        dict(length="x"),
        dict(length=-16),
        dict(offset=8),
        dict(offset=10**18),
        dict(length=12),
        dict(length=17),
        dict(__class__="x"),
        dict(location2="x"),
        dict(offset="٣"),
    ],
    ids=str,
)
def test_fault_21_external_data_keys(tmp_path, keys):
    (tmp_path / "w.data").write_bytes(FLOATS)
    refused_file(onnx_with(tmp_path, external(**keys)), FormatError, "a.w")


def test_fault_21_repeated_key_and_both_kinds_of_data(tmp_path):
    (tmp_path / "w.data").write_bytes(FLOATS)
    twice = external()
    twice.external_data.add(key="location", value="w.data")
    refused_file(onnx_with(tmp_path, twice), FormatError, "a.w", "repeated")
    both = external()
    both.raw_data = FLOATS
    refused_file(onnx_with(tmp_path, both), FormatError, "a.w")
    missing = external("absent.data")
    refused(lambda: read_all(onnx_with(tmp_path, missing)), FormatError, "absent.data", "no such file")


def test_fault_22_truncated_protobuf(tmp_path):
    path = onnx_with(tmp_path, numpy_helper.from_array(np.ones(100, np.float32), "a.w"))
    data = path.read_bytes()
    for length in (1, 2, 5, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:length])
        refused_file(path, FormatError)


def test_fault_22_deep_graph(tmp_path):
    """10^5 nested graphs, written by hand: GraphProto.node.attribute.g, again and again."""

    def wrap(field: int, body: bytes) -> bytes:
        length, out = len(body), bytearray([field << 3 | 2])
        while length > 0x7F:
            out.append(length & 0x7F | 0x80)
            length >>= 7
        return bytes(out) + bytes([length]) + body

    graph = b""
    for _ in range(300):
        graph = wrap(1, wrap(5, wrap(6, graph)) + wrap(4, b"If"))
    path = tmp_path / "x.onnx"
    path.write_bytes(b"\x08\x08" + wrap(7, graph) + wrap(8, b"\x10\x11"))
    refused_file(path, FormatError, "nested more than 16")
    path.write_bytes(b"\x08\x08" + b"\x3a\x80\x80\x80\x04" * 100_000)
    refused_file(path, FormatError)


def test_fault_22_quantised_weights_in_an_unknown_operator(tmp_path):
    node = helper.make_node("MatMulNBits", ["x", "q"], ["y"], name="/fc/MatMulNBits", domain="com.microsoft")
    path = onnx_with(tmp_path, numpy_helper.from_array(np.ones((4, 4), np.uint8), "q"), nodes=[node])
    refused_file(path, FormatError, "MatMulNBits", "/fc/MatMulNBits")
    node = helper.make_node("MatMulInteger", ["x", "q"], ["y"], name="/fc/MatMul_quant")
    path = onnx_with(tmp_path, numpy_helper.from_array(np.ones((4, 4), np.int8), "q"), nodes=[node])
    refused_file(path, FormatError, "/fc/MatMul_quant", "scale")


def test_fault_22_odd_initializers(tmp_path):
    float8 = TensorProto(name="a.w", data_type=17, dims=[4], raw_data=b"0000")
    refused_file(onnx_with(tmp_path, float8), FormatError, "a.w", "type 17")
    short = TensorProto(name="a.w", data_type=1, dims=[4], raw_data=b"0000")
    refused_file(onnx_with(tmp_path, short), FormatError, "a.w", "needs 16 bytes, found 4")
    huge = TensorProto(name="a.w", data_type=1, dims=[2**31, 2**31], raw_data=b"")
    refused_file(onnx_with(tmp_path, huge), FormatError, "a.w")
    negative = TensorProto(name="a.w", data_type=1, dims=[-1], raw_data=b"")
    refused_file(onnx_with(tmp_path, negative), FormatError, "a.w", "-1")
    few = TensorProto(name="a.w", data_type=7, dims=[4], int64_data=[300, 300])
    refused_file(onnx_with(tmp_path, few), FormatError, "a.w", "2 values")
    one = numpy_helper.from_array(np.ones(1, np.float32), "a.w")
    refused_file(onnx_with(tmp_path, one, one), FormatError, "a.w", "twice")


def test_fault_22_over_2_gb(tmp_path):
    path = onnx_with(tmp_path)
    os.truncate(path, 2**31 + 1)  # sparse: takes no room on the disk
    refused_file(path, FormatError, "at most 2 GB", limit_s=1.0)


def test_fault_22_no_model(tmp_path):
    (tmp_path / "x.onnx").write_bytes(b"\x08\x08")
    refused_file(tmp_path / "x.onnx", FormatError, "no ONNX model")
    sparse = onnx.SparseTensorProto(dims=[4])
    graph = helper.make_graph([], "g", [], [], sparse_initializer=[sparse])
    (tmp_path / "y.onnx").write_bytes(helper.make_model(graph).SerializeToString())
    refused_file(tmp_path / "y.onnx", FormatError, "sparse")


# --- folders and special files ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "target", ["../../x.safetensors", "C:x.safetensors", "/abs.safetensors", "x.bin", "x", "a\\b.safetensors", 3, None]
)
def test_fault_23_index_points_outside(tmp_path, target):
    import json

    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"w": target}}))
    refused(lambda: read_all(tmp_path), FormatError, index)


def test_fault_23_shard_is_a_link_out(tmp_path):
    import json

    folder = tmp_path / "model"
    folder.mkdir()
    save_file({"w": torch.zeros(1)}, tmp_path / "secret.safetensors")
    (folder / "a.safetensors").symlink_to(tmp_path / "secret.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"w": "a.safetensors"}}))
    refused(lambda: read_all(folder), FormatError, "a.safetensors", "symbolic link")


def test_fault_24_code_in_a_folder(tmp_path, canary):
    save_file({"w": torch.zeros(1)}, tmp_path / "model.safetensors")
    (tmp_path / "modeling_x.py").write_text(f"open({str(canary)!r}, 'w')")
    (tmp_path / "config.json").write_text('{"auto_map": {"AutoModel": "modeling_x.X"}, "custom_pipelines": {}}')
    with open_checkpoint(tmp_path) as ckpt:  # read, but nothing of it imported
        assert ckpt["w"].shape == (1,) and "modeling_x" not in sys.modules
    (tmp_path / "config.json").write_text('{"model_file": "modeling_x.py"}')
    refused(lambda: open_checkpoint(tmp_path), UnsafeError, tmp_path, "modeling_x.py", "nothing was run")


def test_fault_25_pipes_and_devices(tmp_path):
    for suffix in (".pth", ".safetensors", ".onnx", ".npy", ".bin"):
        os.mkfifo(tmp_path / f"x{suffix}")
        refused_file(tmp_path / f"x{suffix}", FormatError, "a pipe", limit_s=1.0)
    (tmp_path / "zero.pth").symlink_to("/dev/zero")
    refused_file(tmp_path / "zero.pth", FormatError, "a character device", limit_s=1.0)
    (tmp_path / "folder.pth").mkdir()
    refused_file(tmp_path / "folder.pth", FormatError, "no checkpoint in this folder")
    os.mkfifo(tmp_path / "config.json")
    refused(lambda: room.read_config(tmp_path), FormatError, "a pipe", limit_s=1.0)


def test_fault_25_socket(tmp_path, monkeypatch):
    import socket

    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("x.pth")
        refused_file(Path("x.pth"), FormatError, "a socket")


def test_fault_26_the_file_is_replaced_after_the_check(tmp_path):
    path = tmp_path / "x.safetensors"
    save_file({"w": torch.ones(4)}, path)
    with open_checkpoint(path) as ckpt:
        save_file({"w": torch.zeros(4)}, tmp_path / "new")
        os.replace(tmp_path / "new", path)
        assert ckpt["w"].tolist() == [1, 1, 1, 1]  # the descriptor that was checked


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_fault_26_the_file_is_overwritten_in_place(tmp_path, suffix):
    path = tmp_path / f"x{suffix}"
    save = save_file if suffix == ".safetensors" else torch.save
    save({"w": torch.ones(4)}, path)
    with open_checkpoint(path) as ckpt:
        time.sleep(0.02)
        data = path.read_bytes()
        with path.open("r+b") as file:
            file.write(data)
        refused(lambda: ckpt["w"], FormatError, path, "changed while it was read")


def test_fault_89_the_file_is_truncated_meanwhile(tmp_path):
    path = tmp_path / "x.safetensors"
    save_file({"w": torch.ones(4)}, path)
    with open_checkpoint(path) as ckpt:
        os.truncate(path, path.stat().st_size - 4)
        refused(lambda: ckpt["w"], FormatError, path, "changed while it was read")


SCRIPT = """
import sys
from pytorch_to_mlx.checkpoint import open_checkpoint
from pytorch_to_mlx.errors import PortError
for path in sys.argv[1:]:
    try:
        with open_checkpoint(path) as ckpt:
            arrays = {name: ckpt[name] for name in ckpt}
        print(0, path)
    except PortError as error:
        print(error.exit_code, path)
"""


def test_no_signal_and_bounded_memory_in_a_child(tmp_path):
    """The files that crash or hang `mx.load` (31 33 34 36 25), a payload and a bomb, in one process of 1.5 GB."""
    import json

    def safetensors(name: str, **tensor) -> Path:
        header = json.dumps({"a": tensor}).encode()
        (tmp_path / name).write_bytes(struct.pack("<Q", len(header)) + header)
        return tmp_path / name

    paths = [
        safetensors("31.safetensors", dtype="F32", shape=[65536] * 4, data_offsets=[0, 0]),
        safetensors("34.safetensors", dtype="F32", shape=[2], data_offsets=[2**64 - 8, 2**64]),
        safetensors("36.safetensors", dtype="F32", shape=[1] * 100_000, data_offsets=[0, 4]),
        torch_zip(tmp_path / "01.pth", dumps({"w": Call(os.system, f"touch {tmp_path / 'canary'}")})),
        torch_zip(tmp_path / "15.pth", BOMBS["many_opcodes"]),
        good_zip(tmp_path / "00.pth"),
    ]
    os.mkfifo(tmp_path / "25.npy")
    limited = "import resource; resource.setrlimit(resource.RLIMIT_DATA, (3 << 29, 3 << 29))\n"
    command = [sys.executable, "-c", limited + SCRIPT, *map(str, paths), str(tmp_path / "25.npy")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    codes = {Path(line.split()[1]).stem: int(line.split()[0]) for line in done.stdout.splitlines()}
    assert codes == {"31": 4, "34": 4, "36": 4, "01": 3, "15": 4, "00": 0, "25": 4}
    assert not (tmp_path / "canary").exists()
