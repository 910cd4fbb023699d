"""Small files that ask for much: one budget for all that a reader makes, so that each is refused within seconds.

The right value is the refusal: nobody's checkpoint is like these. The files are written by hand, opcode by opcode.
"""

import json
import struct
import subprocess
import sys

import numpy as np
import pytest
from checkpoint.hostile import assert_file_refused, assert_refused, tensor_pickle, torch_zip

from pytorch_to_mlx.checkpoint import open_checkpoint, read_config, read_json
from pytorch_to_mlx.checkpoint.budget import STEPS, Budget
from pytorch_to_mlx.checkpoint.yaml_safe import read_yaml
from pytorch_to_mlx.errors import FormatError

SPENT = "far more time or memory than a checkpoint of any size needs"


def text(value):
    data = value if isinstance(value, bytes) else value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def memo(place):
    return b"r" + struct.pack("<I", place)


def get(place):
    return b"j" + struct.pack("<I", place)


DICT = b"ccollections\nOrderedDict\n"
PAIRS = b"](" + b"".join(b"J" + struct.pack("<i", key) + b"K\x01\x86" for key in range(100_000)) + b"e" + memo(1)
INTEGERS = b"](" + b"K\x01" * 300_000 + b"e" + memo(1)


def keyed(items):
    """A dict with these items, and a tensor."""
    return b"\x80\x02}(" + items + text("w") + tensor_pickle()[tensor_pickle().index(b"ctorch") : -2] + b"u."


PICKLES = {
    # one list made into a dict again and again, by each of the allowed callables that take a container
    "rebuilt": b"\x80\x02" + PAIRS + b"(" + (DICT + get(1) + b"\x85R") * 200 + b"t\x86.",
    "sizes": b"\x80\x02" + INTEGERS + b"(" + (b"ctorch\nSize\n" + get(1) + b"\x85R") * 200 + b"t\x86.",
    # one list given to an object that stays unread, again and again
    "unread": b"\x80\x02" + INTEGERS + b"(" + (b"csome\nThing\n" + get(1) + b"\x85R") * 200 + b"t\x86.",
    "appended": b"\x80\x02" + INTEGERS + b"(" + (b"\x8f" + get(1) + b"a") * 200 + b"t\x86.",
    # texts that grow: a long key over many leaves, and names of classes as keys
    "long_key": keyed(text("k" * (1 << 20)) + b"}(" + b"".join(text(str(i)) + b"K\x01" for i in range(20_000)) + b"u"),
    "class_keys": b"\x80\x02csome\n" + b"T" * 900 + b"\n" + memo(1) + b"}(" + (get(1) + b"N") * 400_000 + b"u\x86.",
    # one tensor a million times, one list behind every leaf, opcodes without end
    "one_tensor": b"\x80\x02" + tensor_pickle()[2:-1] + memo(1) + b"](" + get(1) * 200_000 + b"e\x86.",
    "shared": b"\x80\x02" + INTEGERS + b"](" + get(1) * 100_000 + b"e\x86.",
    "opcodes": b"\x80\x02(" + b"N" * STEPS + b"t.",
    "reversed": b"\x80\x02](" + b"".join(b"(" + b"]" * 10 + b"l" for _ in range(300_000)) + b"e.",
}


@pytest.mark.parametrize("name", PICKLES)
def test_a_pickle_that_repeats_is_refused(tmp_path, name):
    path = torch_zip(tmp_path / "x.pt", PICKLES[name])
    assert path.stat().st_size < 8 << 20
    assert_file_refused(path, FormatError, limit_s=8.0)


def test_what_no_state_dict_has_is_refused_at_once(tmp_path):
    """torch.device takes a short name and a number; integers over 64 bits are never keys, all could have one hash."""
    torch = pytest.importorskip("torch")
    assert torch.device("cuda", 1).__reduce__() == (torch.device, ("cuda", 1))
    device = b"ctorch\ndevice\n"
    doubling = b"\x80\x02" + device + text("x" * 16) + text("y" * 16) + b"\x86R" + memo(1)
    doubling += b"".join(b"\x85" + device + get(1) + get(1) + b"\x86R" + memo(1) + b"\x86" for _ in range(34)) + b"."
    prime = 2**61 - 1  # Python's hash of an integer is its remainder by this
    longs = b"".join(b"\x8a\x0b" + ((i << 8) * prime).to_bytes(11, "little") + b"N" for i in range(1, 1000))
    for pickled, word in (
        (doubling, "a device is not built from a name"),
        (b"\x80\x02}(" + longs + b"u.", "a key is a int"),
        (b"\x80\x04" + text("m" * 5000) + text("n") + b"\x93.", "a global's name has 5001 characters"),
    ):
        assert_file_refused(torch_zip(tmp_path / "x.pt", pickled), FormatError, word, limit_s=1.0)


def test_devices_and_dicts_as_torch_writes_them_are_read(tmp_path):
    torch = pytest.importorskip("torch")
    value = {
        "w": torch.ones(2),
        "at": torch.device("cuda", 1),
        "sizes": torch.Size([2, 3]),
        "odd": [None, 1, torch.int8],
    }
    torch.save(value, tmp_path / "x.pt")
    with open_checkpoint(tmp_path / "x.pt") as checkpoint:
        assert checkpoint.names() == ["w"]
        assert checkpoint.extra == {"at": "cuda:1", "sizes": [2, 3], "odd": [None, 1, "int8"]}


def test_wrappers_without_end(tmp_path):
    """A name of a million "module." would be copied a million times: four are taken off."""
    header = {"module." * 500 + "w": {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]}}
    data = json.dumps(header).encode()
    (tmp_path / "x.safetensors").write_bytes(struct.pack("<Q", len(data)) + data)
    with open_checkpoint(tmp_path / "x.safetensors") as checkpoint:
        assert checkpoint.names() == ["module." * 496 + "w"]


def empty_tensors(count):
    entries = ",".join(f'"{i}":{{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}' for i in range(count))
    header = f"{{{entries}}}".encode()
    return struct.pack("<Q", len(header)) + header


def test_empty_tensors_without_end(tmp_path):
    """Half a million are refused before any is looked at; 20,000, more than any file in public has, are read."""
    (tmp_path / "x.safetensors").write_bytes(empty_tensors(500_000))
    assert_file_refused(tmp_path / "x.safetensors", FormatError, SPENT, limit_s=4.0)
    (tmp_path / "x.safetensors").write_bytes(empty_tensors(20_000))
    with open_checkpoint(tmp_path / "x.safetensors") as checkpoint:
        assert len(checkpoint) == 20_000


def test_shards_share_the_budget(tmp_path):
    """Links to one shard cost as much as shards of their own."""
    (tmp_path / "a-1.safetensors").write_bytes(empty_tensors(30_000))
    names = {}
    for number in range(1, 20):
        name = f"a-{number}.safetensors"
        names[str(number)] = name
        if number > 1:
            (tmp_path / name).hardlink_to(tmp_path / "a-1.safetensors")
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": names}))
    assert_file_refused(tmp_path, FormatError, SPENT, limit_s=8.0)


@pytest.mark.parametrize(
    "data, limit_s",
    [
        (b'{"a":[' + b"[]," * (8 << 20) + b"[]]}", 4.0),
        (b"{" + b",".join(b'"%d":""' % i for i in range(3_000_000)) + b"}", 4.0),
        (b'{"a":1.' + b"1" * 1_000_000 + b"}", 1.0),
    ],
    ids=["nested", "keys", "digits"],
)
def test_json(tmp_path, data, limit_s):
    (tmp_path / "config.json").write_bytes(data)
    assert_refused(lambda: read_json(tmp_path / "config.json"), FormatError, limit_s=limit_s)


def test_a_config_is_smaller_than_an_index(tmp_path):
    (tmp_path / "config.json").write_bytes(b'{"a": "' + b"x" * (5 << 20) + b'"}')
    assert_refused(lambda: read_config(tmp_path), FormatError, "at most 4194304 are read", limit_s=1.0)


@pytest.mark.parametrize(
    "content",
    ["a: [" + "1," * 200_000 + "1]\n", "a: !!float ''\n", "a: " + "9" * 5000 + "\n", "a: " + "[]\nb: " * 9],
    ids=["wide", "empty", "digits", "twice"],
)
def test_yaml(tmp_path, content):
    (tmp_path / "x.yaml").write_text(content)
    assert_refused(lambda: read_yaml(tmp_path / "x.yaml"), FormatError)


def test_typed_numbers_of_an_onnx_file_are_read_at_once(tmp_path):
    """Twelve million dimensions are refused when they are counted; a varint is as protobuf writes it."""
    from pytorch_to_mlx.checkpoint.files import SourceFile
    from pytorch_to_mlx.checkpoint.protobuf import Wire

    def varint(value):
        out = b""
        while value > 127:
            out, value = out + bytes([value & 127 | 128]), value >> 7
        return out + bytes([value])

    numbers = [0, 1, 127, 128, 300, 2**31, 2**63 - 1, -1, -5, -(2**63)]
    data = b"".join(varint(number & (2**64 - 1)) for number in numbers)
    path = tmp_path / "x"
    path.write_bytes(data + b"\x01" * (12 << 20))
    with SourceFile(path) as file:
        wire = Wire(file, Budget(path))
        np.testing.assert_array_equal(wire.ints((0, len(data)), most=10), np.array(numbers, np.int64))
        assert_refused(lambda: wire.ints((0, file.size), most=16), FormatError, "at most 16", limit_s=1.0)
    for spoilt, word in ((data + b"\x80", "cut off"), (b"\xff" * 10 + b"\x01", "more than ten bytes")):
        path.write_bytes(spoilt)
        with SourceFile(path) as file:
            wire = Wire(file, Budget(path))
            with pytest.raises(FormatError, match=word):
                wire.ints((0, len(spoilt)), most=99)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux limits the memory of a process")
@pytest.mark.parametrize("name", ["rebuilt", "reversed", "class_keys"])
def test_the_memory_of_a_bomb(tmp_path, name):
    """A process that may take a gigabyte and a half, MLX included, is enough to refuse it."""
    path = torch_zip(tmp_path / "x.pt", PICKLES[name])
    code = (
        "import resource, sys\nfrom pytorch_to_mlx.checkpoint import open_checkpoint\n"
        "resource.setrlimit(resource.RLIMIT_DATA, (3 << 29, 3 << 29))\n"
        "try: open_checkpoint(sys.argv[1])\nexcept Exception as error: print(type(error).__name__)"
    )
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True)
    assert done.stdout == "FormatError\n"
