"""Read GGUF files (plain dtypes, Q4_0 to Q8_0, Q4_K to Q6_K), because MLX's own parser crashes on hostile ones.

Names, axis order and values are the file's: llama.cpp permutes the rows of LLaMA's q and k projections, which a weight
map has to undo.
"""

import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import FormatError
from .base import Checkpoint, Entry, TensorInfo, check_shape, itemsize, to_mlx
from .budget import TENSOR, Budget
from .files import SourceFile, closing_on_error, not_a, quote
from .gguf_blocks import BLOCKS, dequantize

if TYPE_CHECKING:
    import mlx.core as mx

MAX_HEADER = 128 << 20
_WINDOW = 4 << 20
DTYPES = {0: "float32", 1: "float16", 24: "int8", 25: "int16", 26: "int32", 27: "int64", 28: "float64", 30: "bfloat16"}
_VALUES = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
_STRING, _ARRAY = 8, 9


@dataclass(frozen=True)
class _Tensor:
    """One tensor of the header; `offset` counts from the beginning of the data, `nbytes` are those in the file."""

    name: str
    shape: tuple[int, ...]
    kind: int
    offset: int
    nbytes: int


def open_gguf(path: Path, budget: Budget) -> Checkpoint:
    """Open a GGUF file; quantized tensors are read as float32, and the metadata is in `extra`.

    Raises: FormatError for other versions and quantizations, counts and lengths that the file cannot hold, and tensors
    that overlap.
    Source: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md; block layouts in ggml-common.h.
    """
    file = SourceFile(path)
    with closing_on_error(file):
        if file.size < 24 or file.read(0, 4) != b"GGUF":
            raise not_a("a GGUF file", file)
        reader = _HeaderReader(file, budget)
        extra, tensors, data_start = reader.read()
        _check_spans(tensors, data_start, file, reader.alignment)
        entries = {tensor.name: _entry(file, tensor, data_start) for tensor in tensors}
    return Checkpoint(str(path), "gguf", entries, extra=extra, files=[file])


class _HeaderReader:
    """Read the header from front to back; each method reads one thing and moves `offset` behind it."""

    def __init__(self, file: SourceFile, budget: Budget) -> None:
        self.file, self.budget, self.offset = file, budget, 4
        self.data = file.read(0, min(file.size, _WINDOW))
        self.alignment = 32

    def error(self, what: str) -> FormatError:
        return FormatError(what, where=self.file.path)

    def take(self, count: int) -> bytes:
        if count > min(self.file.size, MAX_HEADER) - self.offset:
            raise self.error(f"the header needs {count} bytes at {self.offset}, the file has {self.file.size}")
        if count > len(self.data) - self.offset:
            more = min(max(count, _WINDOW), self.file.size - len(self.data))
            self.data += self.file.read(len(self.data), more)
        self.offset += count
        return self.data[self.offset - count : self.offset]

    def number(self, form: str) -> Any:
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def string(self) -> str:
        try:
            return self.take(self.number("<Q")).decode("utf-8")
        except UnicodeDecodeError:
            raise self.error(f"the text before byte {self.offset} is not UTF-8") from None

    def value(self, kind: int, depth: int = 0) -> Any:
        self.budget.spend(2)
        if depth > 2:
            raise self.error("the metadata is nested too deep")
        if kind in _VALUES:
            return self.number(_VALUES[kind])
        if kind == _STRING:
            return self.string()
        if kind != _ARRAY:
            raise self.error(f"metadata of the unknown type {kind}")
        item_kind = self.number("<I")
        return [self.value(item_kind, depth + 1) for _ in range(self.number("<Q"))]

    def read(self) -> tuple[dict[str, Any], list[_Tensor], int]:
        """Return the metadata, the tensors, and the offset at which the data begins."""
        version = self.number("<I")
        if version not in (2, 3):
            raise self.error(f"GGUF version {version}; 2 and 3 are read")
        tensor_count, key_count = self.number("<Q"), self.number("<Q")
        extra: dict[str, Any] = {}
        for _ in range(key_count):
            self.budget.spend(2)
            key = self.string()
            if key in extra:
                raise self.error(f"the key {quote(key)} occurs twice")
            extra[key] = self.value(self.number("<I"))
        self.alignment = extra.get("general.alignment", 32)
        if type(self.alignment) is not int or self.alignment not in {2**power for power in range(3, 17)}:
            raise self.error(f"general.alignment is {quote(self.alignment)}")
        tensors, names = [], set()
        for _ in range(tensor_count):
            self.budget.spend(2 * TENSOR)
            tensor = self.tensor()
            if tensor.name in names:
                raise self.error(f"the tensor {quote(tensor.name)} occurs twice")
            names.add(tensor.name)
            tensors.append(tensor)
        return extra, tensors, -(-self.offset // self.alignment) * self.alignment

    def tensor(self) -> _Tensor:
        name, rank = self.string(), self.number("<I")
        if rank > 4:
            raise self.error(f"tensor {quote(name)} has {rank} dimensions, at most 4 are read")
        shape = check_shape([self.number("<Q") for _ in range(rank)][::-1], name=name, where=self.file.path)
        kind, offset = self.number("<I"), self.number("<Q")
        size = math.prod(shape)
        if kind in DTYPES:
            nbytes = size * itemsize(DTYPES[kind])
        elif kind in BLOCKS and shape and shape[-1] % BLOCKS[kind].size == 0:
            nbytes = size // BLOCKS[kind].size * BLOCKS[kind].nbytes
        else:
            known = ", ".join(block.name for block in BLOCKS.values())
            raise FormatError(
                f"tensor {quote(name)} {list(shape)} has the type {kind}, which is not supported",
                where=self.file.path,
                fix=f"use the original checkpoint, or a file in F16, BF16, {known}",
            )
        return _Tensor(name, shape, kind, offset, nbytes)


def _check_spans(tensors: list[_Tensor], data_start: int, file: SourceFile, alignment: int) -> None:
    """Refuse tensors that overlap, are not aligned or lie past the end of the file."""
    last_end = 0
    for tensor in sorted(tensors, key=lambda tensor: tensor.offset):
        if tensor.offset % alignment or tensor.offset < last_end:
            raise FormatError(f"tensor {quote(tensor.name)} overlaps another or is not aligned", where=file.path)
        last_end = tensor.offset + tensor.nbytes
        if data_start + last_end > file.size:
            raise FormatError(f"tensor {quote(tensor.name)} lies past the end: the file is cut off", where=file.path)


def _entry(file: SourceFile, tensor: _Tensor, data_start: int) -> Entry:
    """Return a tensor that can be read."""
    where, offset = file.path, data_start + tensor.offset
    if tensor.kind in DTYPES:
        dtype = DTYPES[tensor.kind]
        info = TensorInfo.of(tensor.name, dtype, tensor.shape)
        return Entry(
            info, lambda: to_mlx(file.read_array(offset, tensor.nbytes), dtype, info.shape, name=info.name, where=where)
        )
    kind = BLOCKS[tensor.kind]
    info = TensorInfo.of(tensor.name, "float32", tensor.shape, kind.name)

    def read() -> "mx.array":
        blocks = file.read_array(offset, tensor.nbytes).reshape(-1, kind.nbytes)
        return to_mlx(dequantize(blocks, kind), "float32", info.shape, name=info.name, where=where)

    return Entry(info, read)
