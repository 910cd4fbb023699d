"""Widen the weights that a converted folder holds packed in its file: 8 bits a number, with a scale for each group.

Layers that compute on packed numbers are MLX's own affair; these are convolutions and LSTMs, which do not.
"""

import math
from dataclasses import dataclass
from typing import Any

import mlx.core as mx

from ..errors import FormatError
from .base import Checkpoint, Entry, TensorInfo, check_shape
from .files import quote

# config.json's entry: {"bits", "group_size", "shapes": {weight: its shape}}.
KEY = "quantization_in_file"
SCALES, BIASES = "_scales", "_biases"
BITS = 8
GROUP_SIZES = (32, 64, 128)
_FLOATS = ("float16", "bfloat16", "float32")


@dataclass(frozen=True)
class _Rows:
    """A packed weight: its rows, and the scale and offset of each group."""

    packed: Entry
    scales: Entry
    biases: Entry
    info: TensorInfo
    group_size: int

    def read(self) -> mx.array:
        packed, scales, biases = self.packed.read(), self.scales.read(), self.biases.read()
        rows = mx.dequantize(packed, scales, biases, self.group_size, BITS)
        return rows[:, : math.prod(self.info.shape[1:])].reshape(self.info.shape)


def widen(checkpoint: Checkpoint) -> None:
    """Replace the packed weights that the config of a converted folder lists by their numbers, read when looked up.

    Raises: FormatError where the entry is malformed or contradicts the weights.
    """
    declared = (checkpoint.config or {}).get(KEY)
    if declared is None:
        return
    shapes = declared.get("shapes") if isinstance(declared, dict) else None
    if not isinstance(shapes, dict) or declared.get("bits") != BITS or declared.get("group_size") not in GROUP_SIZES:
        raise FormatError(f"config.json's '{KEY}' is malformed", where=checkpoint.source)
    for name, shape in shapes.items():
        rows = _rows(checkpoint, name, shape, declared["group_size"])
        del checkpoint.entries[name + SCALES], checkpoint.entries[name + BIASES]
        checkpoint.entries[name] = Entry(rows.info, rows.read)
    checkpoint.config = {key: value for key, value in (checkpoint.config or {}).items() if key != KEY}


def padded(width: int, group_size: int) -> int:
    """Return the numbers of a packed row: zeros fill its last group."""
    return -(-width // group_size) * group_size


def _rows(checkpoint: Checkpoint, name: str, shape: Any, group_size: int) -> _Rows:
    """Return one packed weight, its arrays checked.

    Shapes, for rows of D padded numbers: packed [O, D / 4] uint32; scales, biases [O, D / group_size]
    """
    shape = check_shape(shape, name=name, where=checkpoint.source)
    parts = [checkpoint.entries.get(name + part) for part in ("", SCALES, BIASES)]
    if any(part is None for part in parts):
        raise FormatError(f"{quote(name)} is not there with its scales and offsets", where=checkpoint.source)
    packed, scales, biases = (part for part in parts if part is not None)
    if not shape:
        raise FormatError(f"{quote(name)} has no rows", where=checkpoint.source)
    width = padded(math.prod(shape[1:]), group_size)
    expected = (shape[0], width * BITS // 32), (shape[0], width // group_size)
    fits = (packed.info.shape, scales.info.shape) == expected and biases.info.shape == scales.info.shape
    dtypes = scales.info.dtype == biases.info.dtype and scales.info.dtype in _FLOATS and packed.info.dtype == "uint32"
    if not fits or not dtypes:
        raise FormatError(f"{quote(name)} is not packed as config.json's '{KEY}' says", where=checkpoint.source)
    info = TensorInfo.of(name, scales.info.dtype, shape, f"{BITS}-bit")
    return _Rows(packed, scales, biases, info, group_size)
