"""The result of every reader: a Checkpoint, a mapping from tensor names to arrays, each read when it is looked up."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import CheckError, FormatError
from ..progress import note
from ..units import count_text
from .files import SourceFile, quote, require_memory

if TYPE_CHECKING:
    import mlx.core as mx

MAX_NAME = 4096
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
    """Return the bytes of one element of an MLX dtype."""
    return np.dtype(STORAGE[dtype]).itemsize


@dataclass(frozen=True)
class TensorInfo:
    """One tensor as the header describes it.

    dtype: of the array that is read. stored_dtype: in the file, which differs where float64 is read as float32 (refused
    if a value overflows) and where quantized weights are dequantized. nbytes: of the array in memory.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    nbytes: int
    stored_dtype: str = ""

    @classmethod
    def of(cls, name: str, dtype: str, shape: tuple[int, ...], stored_dtype: str = "") -> "TensorInfo":
        """Make the header of a tensor stored in `dtype`; float64 will be read as float32.

        stored_dtype: what the file holds, if it is not the numbers that are read.
        """
        if dtype == "float64":
            dtype, stored_dtype = "float32", "float64"
        return cls(name, dtype, shape, math.prod(shape) * itemsize(dtype), stored_dtype or dtype)


@dataclass(frozen=True)
class Entry:
    """A tensor that can be read: its header, and the function that returns its array."""

    info: TensorInfo
    read: "Callable[[], mx.array]"


@dataclass
class Checkpoint(Mapping[str, "mx.array"]):
    """An open checkpoint: `checkpoint[name]` reads one tensor, and keeps nothing.

    source: the path, for messages. kind: safetensors, mlx, torch, onnx, npz, npy, gguf, ctranslate2 or marian.
    extra: what is not a tensor (scalars and strings of a torch file, safetensors metadata). constants: the arrays of an
    ONNX graph that are not parameters. notes: what was left out of the file, a line each. max_bytes: the memory that
    all tensors may take; None for what is available.
    """

    source: str
    kind: str
    entries: dict[str, Entry] = field(repr=False)
    folder: Path | None = None
    config: dict[str, Any] | None = field(default=None, repr=False)
    extra: dict[str, Any] = field(default_factory=dict, repr=False)
    notes: list[str] = field(default_factory=list, repr=False)
    constants: "Mapping[str, mx.array]" = field(default_factory=dict, repr=False)
    files: list[SourceFile] = field(default_factory=list, repr=False)
    max_bytes: int | None = None
    _has_memory: bool = field(default=False, repr=False)

    def infos(self) -> dict[str, TensorInfo]:
        """Return the headers by name, in the order of the file."""
        return {name: entry.info for name, entry in self.entries.items()}

    def names(self) -> list[str]:
        """Return the tensors' names, in the order of the file."""
        return list(self.entries)

    def nbytes(self) -> int:
        """Return the bytes that all tensors together take in memory."""
        return sum(entry.info.nbytes for entry in self.entries.values())

    def __getitem__(self, name: str) -> "mx.array":
        entry = self.entries[name]
        if not self._has_memory:
            require_memory(self.nbytes(), where=self.source, limit=self.max_bytes)
            self._has_memory = True
        return entry.read()

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def tell(self) -> None:
        """Report what was left out of the file."""
        for line in self.notes:
            note(f"{self.source}: {line}")

    def close(self) -> None:
        """Close the files; tensors cannot be read afterwards."""
        for file in self.files:
            file.close()

    def __enter__(self) -> "Checkpoint":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Entries(Mapping[str, "mx.array"]):
    """Arrays beside the parameters, each read when it is looked up."""

    def __init__(self, entries: dict[str, Entry]) -> None:
        self.entries = entries

    def __getitem__(self, name: str) -> "mx.array":
        return self.entries[name].read()

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)


def check_name(name: str, where: str | Path) -> None:
    """Refuse a tensor's name that is endless, or holds half a character (a lone surrogate)."""
    if len(name) > MAX_NAME:
        raise FormatError(
            f"the tensor name {quote(name)} has {len(name)} characters, at most {MAX_NAME} are read", where=where
        )
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        raise FormatError(f"the tensor name {quote(name)} is not text: a lone surrogate", where=where) from None


def check_shape(shape: object, *, name: str, where: str | Path) -> tuple[int, ...]:
    """Return a shape from a header as a tuple of ints that MLX can hold; the tensor's name is checked too.

    Raises: FormatError for a name that `check_name` refuses, for a dimension that is not an int from 0 to MAX_DIM, for
    more than MAX_DIMS of them, and for 2^60 elements or more.
    """
    check_name(name, where)
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
    """Return stored bytes as an MLX array, bit for bit, except that float64 becomes float32.

    Shapes: data [nbytes] uint8, or any shape in STORAGE[dtype] -> shape
    Raises: FormatError for a bool byte other than 0 and 1; CheckError if a float64 value overflows float32.
    """
    import mlx.core as mx

    typed = data.view(STORAGE[dtype]).reshape(shape) if data.dtype == np.uint8 else data.reshape(shape)
    if dtype == "bool":
        if typed.size and typed.max() > 1:
            raise FormatError(f"tensor {quote(name)}: a bool byte holds {typed.max()}", where=where)
        return mx.array(typed).astype(mx.bool_)
    if dtype == "float64":
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            narrow = typed.astype(np.float32)
        n_overflows = int(np.count_nonzero(np.isfinite(typed) & ~np.isfinite(narrow)))
        if n_overflows:
            what = count_text(n_overflows, "float64 value overflows", "float64 values overflow")
            raise CheckError(f"tensor {quote(name)}: {what} float32", where=where)
        return mx.array(narrow)
    array = mx.array(np.ascontiguousarray(typed).reshape(shape))
    return array.view(mx.bfloat16) if dtype == "bfloat16" else array
