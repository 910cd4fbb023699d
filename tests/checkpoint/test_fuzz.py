"""Good files with random damage: every reader answers with values or with one of our errors, never anything else."""

import io
import json
import os
import random
import time
import zipfile

import numpy as np
import pytest
import torch
from checkpoint.hostile import read_all, tensor_pickle, torch_zip
from checkpoint.test_ctranslate2 import model, variable
from checkpoint.test_gguf import entry, gguf, tensor, text
from checkpoint.test_marian import ONE, YAML, packed
from checkpoint.test_marian import model as marian
from checkpoint.test_marian import tensor as marian_tensor
from checkpoint.test_yaml_safe import GOOD
from onnx import helper, numpy_helper
from safetensors.torch import save

from pytorch_to_mlx.checkpoint import read_json
from pytorch_to_mlx.checkpoint.yaml_safe import read_yaml
from pytorch_to_mlx.errors import PortError

STATE = {"a.weight": torch.randn(3, 4), "a.bias": torch.randn(3).half(), "n": torch.tensor(7), "t": torch.randn(4, 3).T}


def torch_bytes(legacy: bool) -> bytes:
    buffer = io.BytesIO()
    saved = {"model": STATE, "epoch": 3, "names": ["x", "y"]}
    torch.save(saved, buffer, _use_new_zipfile_serialization=not legacy)
    return buffer.getvalue()


def torch_pickle_bytes() -> bytes:
    with zipfile.ZipFile(io.BytesIO(torch_bytes(False))) as archive:
        return archive.read("archive/data.pkl")


def onnx_bytes() -> bytes:
    f32 = np.float32
    nodes = [
        helper.make_node("MatMulInteger", ["x", "q", "xz", "z"], ["i"], name="/fc/MatMul_quant"),
        helper.make_node("Cast", ["i"], ["c"], to=1),
        helper.make_node("Mul", ["xs", "s"], ["ss"]),
        helper.make_node("Mul", ["c", "ss"], ["y"]),
        helper.make_node("DequantizeLinear", ["cq", "s", "z"], ["w"], axis=0),
        helper.make_node("Identity", ["w"], ["w2"]),
        helper.make_node("Conv", ["x", "w2", "b"], ["v"], name="/conv/Conv"),
        helper.make_node("LSTM", ["x", "W", "R", "B"], ["l"], name="/l/LSTM", direction="forward", hidden_size=2),
        helper.make_node("If", ["k"], ["o"], then_branch=helper.make_graph([], "t", [], [], [])),
    ]
    arrays = {"q": np.ones((3, 4), np.int8), "z": np.zeros(4, np.int8), "s": np.ones(4, f32), "b": np.ones(4, f32)}
    arrays |= {"cq": np.ones((4, 3, 2), np.int8), "W": np.ones((1, 8, 3), f32), "R": np.ones((1, 8, 2), f32)}
    arrays |= {"B": np.ones((1, 16), f32), "own.name": np.ones((2, 2), np.float16)}
    initializers = [numpy_helper.from_array(array, name) for name, array in arrays.items()]
    initializers.append(helper.make_tensor("typed", 6, [3], [1, 2, 3]))
    return helper.make_model(helper.make_graph(nodes, "g", [], [], initializers)).SerializeToString()


def npz_bytes(compressed: bool) -> bytes:
    buffer = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(buffer, a=np.ones((2, 3), np.float32), b=np.arange(4))
    return buffer.getvalue()


def npy_bytes() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.asfortranarray(np.ones((2, 3))))
    return buffer.getvalue()


def gguf_bytes(tmp_path) -> bytes:
    keys = [
        entry("name", 8, text("x")),
        entry("n", 4, bytes(4)),
        entry("l", 9, b"\x04\0\0\0\x02" + bytes(7) + bytes(8)),
    ]
    tensors = [tensor("a", (2, 32), 8, 0), tensor("b", (3,), 0, 96)]
    return gguf(tmp_path, keys, tensors, bytes(108)).read_bytes()


def ct2_bytes(tmp_path) -> bytes:
    parts = [variable("a/w", np.ones((3, 2), np.int8)), variable("a/w_scale", np.ones(3, np.float32))]
    return model(tmp_path, *parts, variable("h", np.array(3, np.int16)), aliases=[("b/w", "a/w")]).read_bytes()


def marian_bytes() -> bytes:
    matrix = packed("l1_W", (3, 2), np.arange(6, dtype=np.int8), 2.0)
    return marian(marian_tensor("special:model.yml", YAML), ONE, matrix)


SEEDS = {
    "safetensors": (".safetensors", lambda _: save(STATE | {"t": torch.ones(2, dtype=torch.bool)}, {"format": "pt"})),
    "zip": (".pth", lambda _: torch_bytes(False)),
    "pickle": (".pickle", lambda _: torch_pickle_bytes()),
    "tensor": (".pickle", lambda _: tensor_pickle()),
    "legacy": (".pt", lambda _: torch_bytes(True)),
    "onnx": (".onnx", lambda _: onnx_bytes()),
    "npz": (".npz", lambda _: npz_bytes(False)),
    "npz_deflated": (".npz", lambda _: npz_bytes(True)),
    "npy": (".npy", lambda _: npy_bytes()),
    "gguf": (".gguf", gguf_bytes),
    "ctranslate2": (".bin", ct2_bytes),
    "marian": (".bin", lambda _: marian_bytes()),
    "yaml": (".yaml", lambda _: GOOD.encode()),
    "json": (".json", lambda _: json.dumps({"a": [1, 2.5, {"b": None}], "é": "\u2603\\", "c": True}).encode()),
}
NUMBERS = [b"\xff" * 8, b"\0" * 8, b"\xff\xff\xff\x7f", b"\x7f", b"\x80", b"\x01", b"(", b"}", b"[", b'"', b"&a *a "]


def damaged(data: bytes, dice: random.Random) -> bytes:
    result = bytearray(data)
    for _ in range(dice.choice([1, 1, 1, 2, 5])):
        at, kind = dice.randrange(len(result) + 1), dice.randrange(6)
        if kind == 0 and at < len(result):
            result[at] ^= 1 << dice.randrange(8)
        elif kind == 1:
            del result[at : at + dice.choice([1, 1, 2, 8, 100])]
        elif kind == 2:
            number = dice.choice(NUMBERS)
            result[at : at + len(number)] = number
        elif kind == 3:
            result[at:at] = dice.choice(NUMBERS)
        elif kind == 4:
            start = dice.randrange(len(result) + 1)
            result[at:at] = result[start : start + dice.choice([1, 4, 30])]
        elif at < len(result):
            result[at] = dice.randrange(256)
        result = result or bytearray(b"\0")
    return bytes(result)


def attempt(path, data: bytes, storages) -> bool:
    """Whether the damaged file was still read. Raises whatever is not ours."""
    if path.suffix == ".pickle":
        path = torch_zip(path.with_suffix(".pth"), data, storages)
    else:
        path.write_bytes(data)
    try:
        if path.suffix == ".yaml":
            read_yaml(path)
        elif path.suffix == ".json":
            read_json(path)
        else:
            for array in read_all(path).values():
                assert array.size < 10_000_000
    except PortError as error:
        assert str(error).splitlines()[0].isprintable()
        return False
    return True


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # damaged floats overflow when they are dequantized
def test_random_damage(tmp_path, seed):
    suffix, make = SEEDS[seed]
    good = make(tmp_path)
    storages = {str(key): bytes(4096) for key in range(4)}
    path = tmp_path / f"fuzz{suffix}"
    assert attempt(path, good, storages)
    dice, rounds = random.Random(seed), int(os.environ.get("FUZZ_ROUNDS", 100))
    read = 0
    for _ in range(rounds):
        data = damaged(good, dice)
        started = time.process_time()
        read += attempt(path, data, storages)
        assert time.process_time() - started < 5
    assert read < rounds  # some damage was noticed


def test_truncation_everywhere(tmp_path):
    for seed in ("safetensors", "onnx", "zip", "npy"):
        suffix, make = SEEDS[seed]
        good, path = make(tmp_path), tmp_path / f"cut{suffix}"
        for length in range(0, len(good) - 1, max(1, len(good) // 60)):
            assert not attempt(path, good[:length], {}), f"{seed} cut at {length}"
