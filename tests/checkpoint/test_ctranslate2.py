"""The CTranslate2 reader: its file format written by hand, and the packaged Whisper checkpoints."""

import struct

import numpy as np
import pytest
from checkpoint.hostile import assert_file_refused

from pytorch_to_mlx.checkpoint import open_checkpoint, packaged
from pytorch_to_mlx.errors import FormatError

IDS = {"float32": 0, "int8": 1, "int16": 2, "int32": 3, "float16": 4}


def text(name: str) -> bytes:
    return struct.pack("<H", len(name) + 1) + name.encode() + b"\0"


def variable(name: str, array: np.ndarray, *, kind=None, length=None) -> bytes:
    dims = b"".join(struct.pack("<I", dim) for dim in array.shape)
    kind = IDS[str(array.dtype)] if kind is None else kind
    size = struct.pack("<I", array.nbytes if length is None else length)
    return text(name) + bytes([array.ndim]) + dims + bytes([kind]) + size + array.tobytes()


def model(tmp_path, *variables: bytes, aliases=(), version=6, count=None, end=b""):
    path = tmp_path / "model.bin"
    head = struct.pack("<I", version) + text("WhisperSpec") + struct.pack("<I", 3)
    names = b"".join(text(alias) + text(name) for alias, name in aliases)
    tail = struct.pack("<I", len(aliases)) + names + end
    path.write_bytes(head + struct.pack("<I", len(variables) if count is None else count) + b"".join(variables) + tail)
    return path


def test_names_values_scalars_and_aliases(tmp_path):
    w = np.random.randn(3, 4).astype(np.float16)
    heads = np.array(6, np.int16)
    path = model(
        tmp_path, variable("encoder/w", w), variable("encoder/num_heads", heads), aliases=[("decoder/w", "encoder/w")]
    )
    with open_checkpoint(path) as ckpt:
        assert (ckpt.kind, sorted(ckpt)) == ("ctranslate2", ["decoder.w", "encoder.w"])
        assert ckpt.extra == {"spec": "WhisperSpec", "revision": 3, "encoder.num_heads": 6}
        np.testing.assert_array_equal(np.array(ckpt["encoder.w"]), w)
        np.testing.assert_array_equal(np.array(ckpt["decoder.w"]), w)
        assert ckpt.infos()["decoder.w"].name == "decoder.w"


@pytest.mark.parametrize("shape", [(5, 4), (5, 4, 3)])
def test_int8_rows_and_int16(tmp_path, shape):
    w = np.random.randn(*shape).astype(np.float32)
    scale = 127 / np.abs(w.reshape(5, -1)).max(1)
    q = np.rint(w * scale.reshape(-1, *[1] * (w.ndim - 1))).astype(np.int8)
    whole = np.float32(1000 / np.abs(w).max())
    parts = [variable("a/weight", q), variable("a/weight_scale", scale.astype(np.float32))]
    parts += [variable("b/weight", np.rint(w * whole).astype(np.int16)), variable("b/weight_scale", np.array(whole))]
    with open_checkpoint(model(tmp_path, *parts, aliases=[("c/weight_scale", "a/weight_scale")])) as ckpt:
        assert sorted(ckpt) == ["a.weight", "b.weight"] and set(ckpt.extra) == {"spec", "revision"}
        assert ckpt.infos()["a.weight"].stored_dtype == "int8"
        assert np.abs(np.array(ckpt["a.weight"]) - w).max() <= 0.51 / scale.min()
        assert np.abs(np.array(ckpt["b.weight"]) - w).max() <= 0.51 / whole


ONE = np.ones(4, np.float32)
BROKEN = {
    "old_version": (dict(version=3), [variable("a", ONE)], "format 3"),
    "new_version": (dict(version=7), [variable("a", ONE)], "format 7"),
    "trailing": (dict(end=b"x"), [variable("a", ONE)], "1 bytes after the end"),
    "twice": ({}, [variable("a", ONE), variable("a", ONE)], "'a' occurs twice"),
    "dtype": ({}, [variable("a", ONE, kind=9)], "unknown dtype 9"),
    "short": ({}, [variable("a", ONE, length=15)], "'a' needs 16 bytes"),
    "long": ({}, [variable("a", ONE, length=2**32 - 1)], "'a' needs 16 bytes"),
    "many": (dict(count=2**32 - 1), [variable("a", ONE)], "model.bin"),
    "more": (dict(count=3), [variable("a", ONE)], "model.bin"),
    "alias": (dict(aliases=[("b", "nothing")]), [variable("a", ONE)], "'b'"),
    "alias_taken": (dict(aliases=[("a", "a")]), [variable("a", ONE)], "'a'"),
    "scale": ({}, [variable("a", ONE.astype(np.int8)), variable("a_scale", np.ones(3, np.float32))], "scale"),
    "packed_4_bit": ({}, [variable("a", ONE.astype(np.int32)), variable("a_scale", ONE)], "scale"),
    "rank": ({}, [text("a") + bytes([255]) + bytes(4 * 255) + b"\0" + bytes(4)], "255 dimensions"),
    "huge": ({}, [text("a") + bytes([3]) + b"\xff\xff\xff\x7f" * 3 + b"\0" + bytes(4)], "too large"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_malformed(tmp_path, case):
    options, variables, word = BROKEN[case]
    assert_file_refused(model(tmp_path, *variables, **options), FormatError, word)


def test_cut_anywhere(tmp_path):
    path = model(tmp_path, variable("a", ONE), variable("b", ONE), aliases=[("c", "a")])
    data = path.read_bytes()
    for length in range(20, len(data), 3):
        path.write_bytes(data[:length])
        assert_file_refused(path, FormatError)


@pytest.mark.parametrize(
    ("name", "tensors", "width", "vocabulary"), [("tiny.en", 140, 384, 51864), ("base", 204, 512, 51865)]
)
def test_packaged_whisper(name, tensors, width, vocabulary):
    with open_checkpoint(packaged.find(f"whisper-{name}")) as ckpt:
        assert ckpt.kind == "ctranslate2" and len(ckpt) == tensors and ckpt.extra["encoder.num_heads"] == width // 64
        assert ckpt.config is not None and ckpt.infos()["decoder.embeddings.weight"].shape == (vocabulary, width)
        table = np.array(ckpt["decoder.embeddings.weight"]).astype(np.float32)
        assert np.isfinite(table).all() and 0.001 < table.std() < 0.2
