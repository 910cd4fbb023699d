"""The quantized blocks of GGUF files: a few scales, then integers of 4 to 8 bits, as numbers.

Source: block layouts in https://github.com/ggml-org/ggml/blob/master/src/ggml-common.h, values in ggml-quants.c.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

_CHUNK = 1 << 16  # blocks that are unpacked at a time


@dataclass(frozen=True)
class Block:
    """One kind of block. size: values in it. nbytes: of it. unpack: bytes [n, nbytes] -> values [n, size] float32."""

    name: str
    size: int
    nbytes: int
    unpack: Callable[[np.ndarray], np.ndarray]


def dequantize(blocks: np.ndarray, kind: Block) -> np.ndarray:
    """Return the values of blocks; a scale that is not finite gives values that are not, which loading refuses.

    Shapes: blocks [n, kind.nbytes] uint8 -> [n, kind.size] float32
    """
    values = np.empty((len(blocks), kind.size), np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        for start in range(0, len(blocks), _CHUNK):
            values[start : start + _CHUNK] = kind.unpack(blocks[start : start + _CHUNK])
    return values


def _half(blocks: np.ndarray, at: int) -> np.ndarray:
    """Return the float16 at a byte of every block. Shapes: [n, 1] float32."""
    return np.ascontiguousarray(blocks[:, at : at + 2]).view("<f2").astype(np.float32)


def _fields(data: np.ndarray, shifts: list[int], mask: int, width: int) -> np.ndarray:
    """Return the fields of bits of every `width` bytes, one shift after the other. Shapes: [n, bytes] -> [n, -1]."""
    groups = data.reshape(len(data), -1, 1, width) >> np.array(shifts, np.uint8)[:, None]
    return (groups & mask).reshape(len(data), -1)


def _nibbles(data: np.ndarray, width: int = 16) -> np.ndarray:
    return _fields(data, [0, 4], 15, width)


def _q4_0(blocks: np.ndarray) -> np.ndarray:
    return (_nibbles(blocks[:, 2:]).astype(np.float32) - 8) * _half(blocks, 0)


def _q4_1(blocks: np.ndarray) -> np.ndarray:
    return _nibbles(blocks[:, 4:]) * _half(blocks, 0) + _half(blocks, 2)


def _five_bits(blocks: np.ndarray, at: int) -> np.ndarray:
    """Return integers of 32 fifth bits followed by 32 times four bits. Shapes: [n, 32] float32."""
    fifth = np.unpackbits(blocks[:, at : at + 4], axis=1, bitorder="little")
    return (_nibbles(blocks[:, at + 4 :]) | fifth << 4).astype(np.float32)


def _q5_0(blocks: np.ndarray) -> np.ndarray:
    return (_five_bits(blocks, 2) - 16) * _half(blocks, 0)


def _q5_1(blocks: np.ndarray) -> np.ndarray:
    return _five_bits(blocks, 4) * _half(blocks, 0) + _half(blocks, 2)


def _q8_0(blocks: np.ndarray) -> np.ndarray:
    return blocks[:, 2:].view(np.int8) * _half(blocks, 0)


def _with_scales(blocks: np.ndarray, integers: np.ndarray) -> np.ndarray:
    """Return the values of Q4_K and Q5_K: each 32 integers have a scale and a minimum of six bits, packed in 12 bytes.

    Shapes: blocks [n, …], integers [n, 256] uint8 -> [n, 256] float32
    """
    low, middle, high = blocks[:, 4:8], blocks[:, 8:12], blocks[:, 12:16]
    scales = np.concatenate([low & 63, (high & 15) | (low >> 6) << 4], axis=1) * _half(blocks, 0)
    minima = np.concatenate([middle & 63, (high >> 4) | (middle >> 6) << 4], axis=1) * _half(blocks, 2)
    values = integers.reshape(-1, 8, 32) * scales[..., None] - minima[..., None]
    return values.reshape(-1, 256)


def _q4_k(blocks: np.ndarray) -> np.ndarray:
    return _with_scales(blocks, _nibbles(blocks[:, 16:], 32))


def _q5_k(blocks: np.ndarray) -> np.ndarray:
    fifth = _fields(blocks[:, 16:48], list(range(8)), 1, 32)
    return _with_scales(blocks, _nibbles(blocks[:, 48:], 32) | fifth << 4)


def _q6_k(blocks: np.ndarray) -> np.ndarray:
    upper = _fields(blocks[:, 128:192], [0, 2, 4, 6], 3, 32)
    integers = (_nibbles(blocks[:, :128], 64) | upper << 4).astype(np.float32) - 32
    scales = blocks[:, 192:208].view(np.int8) * _half(blocks, 208)
    return (integers.reshape(-1, 16, 16) * scales[..., None]).reshape(-1, 256)


BLOCKS = {
    2: Block("Q4_0", 32, 18, _q4_0),
    3: Block("Q4_1", 32, 20, _q4_1),
    6: Block("Q5_0", 32, 22, _q5_0),
    7: Block("Q5_1", 32, 24, _q5_1),
    8: Block("Q8_0", 32, 34, _q8_0),
    12: Block("Q4_K", 256, 144, _q4_k),
    13: Block("Q5_K", 256, 176, _q5_k),
    14: Block("Q6_K", 256, 210, _q6_k),
}
"""The kinds of blocks that are read, by GGML's number of the type."""
