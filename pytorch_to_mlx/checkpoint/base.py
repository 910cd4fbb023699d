"""What every reader returns: a Checkpoint, a mapping from tensor names to arrays that are read when asked for."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import CheckError, FormatError
from .files import SourceFile, quote, require_memory

if TYPE_CHECKING:
    import mlx.core as mx

MAX_DIMS = 16
MAX_DIM = 2**31 - 1  # MLX keeps a dimension in 32 bits

# MLX's dtype names -> how numpy sees the bytes (bfloat16 is unknown to numpy and travels as uint16).
STORAGE = {
    "bool": "u1",
    "uint8": "u1",
    "int8": "i1",
    "uint16": "<u2",
    "int16": "<i2",
    "uint32": "<u4",
    "int32": "<i4",
    "uint64": "<u8",
    "int64": "<i8",
    "float16": "<f2",
    "bfloat16": "<u2",
    "float32": "<f4",
    "float64": "<f8",
    "complex64": "<c8",
}


def itemsize(dtype: str) -> int:
    """Bytes of one element of an MLX dtype."""
    return np.dtype(STORAGE[dtype]).itemsize


@dataclass(frozen=True)
class TensorInfo:
    """One tensor as the header describes it.

    `dtype` is what reading gives; `stored_dtype` is what the file holds, where that differs: float64 is read as
    float32 (refused if a value overflows), and int8/uint8 weights of a quantised ONNX graph are dequantised.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    nbytes: int
    stored_dtype: str = ""

    @classmethod
    def of(cls, name: str, dtype: str, shape: tuple[int, ...], stored_dtype: str = "") -> "TensorInfo":
        """Build one from the stored dtype, counting the bytes that the array will take in memory."""
        if dtype == "float64":
            dtype, stored_dtype = "float32", "float64"
        return cls(name, dtype, shape, math.prod(shape) * itemsize(dtype), stored_dtype or dtype)


@dataclass(frozen=True)
class Entry:
    """A tensor that can be read: its header, and how to get its array."""

    info: TensorInfo
    read: "Callable[[], mx.array]"


@dataclass
class Checkpoint(Mapping[str, "mx.array"]):
    """An open checkpoint. `ckpt[name]` reads one tensor; nothing else is read or kept.

    kind: safetensors, mlx, torch, onnx, npz, npy, gguf or ctranslate2. `extra` holds what is not a tensor (scalars and
    strings of a torch file, safetensors metadata); `constants` holds an ONNX graph's arrays that are no parameters.
    """

    source: str
    kind: str
    entries: dict[str, Entry] = field(repr=False)
    folder: Path | None = None
    config: dict[str, Any] | None = field(default=None, repr=False)
    extra: dict[str, Any] = field(default_factory=dict, repr=False)
    constants: "Mapping[str, mx.array]" = field(default_factory=dict, repr=False)
    files: list[SourceFile] = field(default_factory=list, repr=False)
    max_bytes: int | None = None
    _budgeted: bool = field(default=False, repr=False)

    def infos(self) -> dict[str, TensorInfo]:
        """Name -> header, in the order of the file."""
        return {name: entry.info for name, entry in self.entries.items()}

    def names(self) -> list[str]:
        return list(self.entries)

    def nbytes(self) -> int:
        """Bytes that all tensors together take in memory."""
        return sum(entry.info.nbytes for entry in self.entries.values())

    def __getitem__(self, name: str) -> "mx.array":
        entry = self.entries[name]
        if not self._budgeted:
            require_memory(self.nbytes(), where=self.source, limit=self.max_bytes)
            self._budgeted = True
        return entry.read()

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def close(self) -> None:
        for file in self.files:
            file.close()

    def __enter__(self) -> "Checkpoint":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Entries(Mapping[str, "mx.array"]):
    """Arrays beside the parameters, read when asked for."""

    def __init__(self, entries: dict[str, Entry]) -> None:
        self.entries = entries

    def __getitem__(self, name: str) -> "mx.array":
        return self.entries[name].read()

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)


def check_shape(shape: object, *, name: str, where: str | Path) -> tuple[int, ...]:
    """A shape from a header as a tuple of plain non-negative ints that MLX can hold.

    Raises: FormatError for a float or bool or negative dimension, more than MAX_DIMS of them, or a product past 2^63.
    """
    if not isinstance(shape, (list, tuple)):
        raise FormatError(f"tensor {quote(name)}: the shape is {quote(shape)}, not a list", where=where)
    if len(shape) > MAX_DIMS:
        raise FormatError(f"tensor {quote(name)} has {len(shape)} dimensions, at most {MAX_DIMS} are read", where=where)
    for dim in shape:
        if type(dim) is not int or not 0 <= dim <= MAX_DIM:
            raise FormatError(
                f"tensor {quote(name)}: dimension {quote(dim)} is not a whole number from 0 to {MAX_DIM}", where=where
            )
    if math.prod(max(dim, 1) for dim in shape) >= 2**60:
        raise FormatError(f"tensor {quote(name)}: shape {list(shape)} is too large to exist", where=where)
    return tuple(shape)


def to_mlx(data: np.ndarray, dtype: str, shape: tuple[int, ...], *, name: str, where: str | Path) -> "mx.array":
    """Raw bytes as an evaluated MLX array, bit for bit; float64 becomes float32, bool bytes must be 0 or 1.

    Shapes: data [n] uint8, or any shape in STORAGE[dtype] -> shape
    Raises: FormatError for another bool byte; CheckError if a float64 value overflows float32.
    """
    import mlx.core as mx

    typed = data.view(STORAGE[dtype]).reshape(shape) if data.dtype == np.uint8 else data.reshape(shape)
    if dtype == "bool":
        if typed.size and typed.max() > 1:
            raise FormatError(f"tensor {quote(name)}: a bool byte holds {typed.max()}", where=where)
        return mx.array(typed).astype(mx.bool_)
    if dtype == "float64":
        with np.errstate(over="ignore", under="ignore"):
            single = typed.astype(np.float32)
        lost = int(np.count_nonzero(np.isfinite(typed) & ~np.isfinite(single)))
        if lost:
            raise CheckError(f"tensor {quote(name)}: {lost} float64 values overflow float32", where=where)
        return mx.array(single)
    array = mx.array(np.ascontiguousarray(typed).reshape(shape))
    return array.view(mx.bfloat16) if dtype == "bfloat16" else array
