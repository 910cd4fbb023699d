"""The GGUF reader: its file format and blocks written by hand from the specification, and faults 44 and 45."""

import struct

import mlx.core as mx
import numpy as np
import pytest
from checkpoint.hostile import assert_file_refused

from pytorch_to_mlx.checkpoint import open_checkpoint
from pytorch_to_mlx.errors import FormatError


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value.encode())) + value.encode()


def entry(key: str, kind: int, payload: bytes) -> bytes:
    return text(key) + struct.pack("<I", kind) + payload


def tensor(name: str, shape, kind: int, offset: int, *, rank=None) -> bytes:
    dims = b"".join(struct.pack("<Q", dim) for dim in shape[::-1])
    return (
        text(name) + struct.pack("<I", len(shape) if rank is None else rank) + dims + struct.pack("<IQ", kind, offset)
    )


def gguf(tmp_path, keys=(), tensors=(), data=b"", *, version=3, n_tensors=None, n_keys=None, alignment=32):
    counts = (len(tensors) if n_tensors is None else n_tensors, len(keys) if n_keys is None else n_keys)
    head = b"GGUF" + struct.pack("<IQQ", version, *counts) + b"".join(keys) + b"".join(tensors)
    path = tmp_path / "x.gguf"
    path.write_bytes(head + bytes(-len(head) % alignment) + data)
    return path


def q8_0(values):
    """One block, as a program that follows the specification one value at a time would read it."""
    scale = np.float16(np.abs(values).max() / 127)
    q = np.clip(np.round(values / np.float32(scale)), -127, 127).astype(np.int8)
    return scale.tobytes() + q.tobytes(), [np.float32(scale) * np.float32(x) for x in q]


def q4(values, minimum):
    low, high = values.min(), values.max()
    scale = np.float16((high - low) / 15 if minimum else np.abs(values).max() / 8)
    base = np.float16(low) if minimum else None
    q = np.clip(np.round((values - low) / np.float32(scale) if minimum else values / np.float32(scale) + 8), 0, 15)
    nibbles = [int(x) for x in q]
    packed = bytes(nibbles[i] | nibbles[i + 16] << 4 for i in range(16))
    if minimum:
        return scale.tobytes() + base.tobytes() + packed, [
            np.float32(scale) * np.float32(x) + np.float32(base) for x in nibbles
        ]
    return scale.tobytes() + packed, [np.float32(scale) * np.float32(x - 8) for x in nibbles]


QUANT = {"Q4_0": (2, lambda v: q4(v, False)), "Q4_1": (3, lambda v: q4(v, True)), "Q8_0": (8, q8_0)}


@pytest.mark.parametrize("name", QUANT)
def test_blocks(tmp_path, name):
    kind, quantize = QUANT[name]
    values = np.random.randn(3, 64).astype(np.float32)
    blocks = [quantize(block) for block in values.reshape(-1, 32)]
    path = gguf(tmp_path, [], [tensor("w", (3, 64), kind, 0)], b"".join(data for data, _ in blocks))
    with open_checkpoint(path) as ckpt:
        info = ckpt.infos()["w"]
        assert (info.dtype, info.stored_dtype, info.shape) == ("float32", name, (3, 64))
        expected = np.array([back for _, back in blocks], np.float32).reshape(3, 64)
        np.testing.assert_array_equal(np.array(ckpt["w"]), expected)
        assert np.abs(expected - values).max() < 0.5


def test_plain_dtypes_and_metadata(tmp_path):
    a = np.random.randn(2, 3).astype(np.float32)
    b = a.astype(np.float16)
    bits = np.array([0x3F80, 0xC000, 0x7F80], np.uint16)
    data = a.tobytes() + bytes(8) + b.tobytes() + bytes(20) + bits.tobytes()
    tensors = [tensor("a", (2, 3), 0, 0), tensor("b", (2, 3), 1, 32), tensor("c", (3,), 30, 64)]
    keys = [entry("name", 8, text("é")), entry("n", 4, struct.pack("<I", 7)), entry("f", 7, b"\x01")]
    keys += [entry("list", 9, struct.pack("<IQ", 8, 2) + text("x") + text("y"))]
    with open_checkpoint(gguf(tmp_path, keys, tensors, data)) as ckpt:
        assert ckpt.extra == {"name": "é", "n": 7, "f": True, "list": ["x", "y"]}
        np.testing.assert_array_equal(np.array(ckpt["a"]), a)
        np.testing.assert_array_equal(np.array(ckpt["b"]), b)
        np.testing.assert_array_equal(np.array(ckpt["c"].view(mx.uint16)), bits)


ONE = (tensor("a", (4,), 0, 0),)
ALIGN = "general.alignment"
BROKEN = {
    "tensors_2^62": dict(n_tensors=2**62),
    "keys_2^62": dict(n_keys=2**62),
    "key_length_2^60": dict(keys=[struct.pack("<Q", 2**60)]),
    "ndim_9": dict(tensors=[tensor("a", (1,) * 9, 0, 0)]),
    "ndim_2^31": dict(tensors=[tensor("a", (4,), 0, 0, rank=2**31)]),
    "alignment_0": dict(keys=[entry(ALIGN, 4, struct.pack("<I", 0))], tensors=ONE),
    "alignment_3": dict(keys=[entry(ALIGN, 4, struct.pack("<I", 3))], tensors=ONE),
    "alignment_text": dict(keys=[entry(ALIGN, 8, text("x"))], tensors=ONE),
    "array_2^60": dict(keys=[entry("a", 9, struct.pack("<IQ", 4, 2**60))]),
    "array_nested": dict(keys=[entry("a", 9, struct.pack("<IQ", 9, 1) * 1000)]),
    "bad_utf8": dict(keys=[struct.pack("<Q", 1) + b"\xff" + struct.pack("<II", 4, 1)]),
    "key_type_99": dict(keys=[entry("a", 99, b"")]),
    "key_twice": dict(keys=[entry("a", 4, bytes(4))] * 2),
    "version_99": dict(version=99, tensors=ONE),
    "version_1": dict(version=1, tensors=ONE),
    "type_200": dict(tensors=[tensor("a", (4,), 200, 0)]),
    "type_q2_k": dict(tensors=[tensor("a", (256,), 10, 0)]),
    "half_a_super_block": dict(tensors=[tensor("a", (2, 128), 14, 0)]),
    "half_a_block": dict(tensors=[tensor("a", (16,), 8, 0)]),
    "tensor_twice": dict(tensors=[tensor("a", (4,), 0, 0), tensor("a", (4,), 0, 32)]),
    "overlap": dict(tensors=[tensor("a", (16,), 0, 0), tensor("b", (4,), 0, 32)]),
    "misaligned": dict(tensors=[tensor("a", (4,), 0, 4)]),
    "offset_2^63": dict(tensors=[tensor("a", (4,), 0, 2**63)]),
    "past_the_end": dict(tensors=[tensor("a", (400,), 0, 0)]),
    "dim_2^40": dict(tensors=[tensor("a", (2**40,), 0, 0)]),
    "dims_overflow": dict(tensors=[tensor("a", (2**31 - 1,) * 4, 0, 0)]),
}


@pytest.mark.parametrize("case", BROKEN)
def test_fault_44_and_45_headers(tmp_path, case):
    options = dict(data=bytes(128), **BROKEN[case])
    assert_file_refused(gguf(tmp_path, **options), FormatError, limit_s=1.0)


def test_fault_44_cut_anywhere(tmp_path):
    path = gguf(tmp_path, [entry("name", 8, text("x"))], ONE, bytes(16))
    data = path.read_bytes()
    for length in range(0, len(data), 3):
        path.write_bytes(data[:length])
        assert_file_refused(path, FormatError)
