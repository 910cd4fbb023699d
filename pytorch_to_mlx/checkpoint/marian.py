"""Read Marian's binary model files (.bin): names and arrays; weights that intgemm packed in 8 bits become float32."""

import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import FormatError
from .base import MAX_DIMS, STORAGE, Checkpoint, Entry, TensorInfo, check_shape, itemsize, to_mlx
from .budget import TENSOR, Budget
from .files import SourceFile, closing_on_error, quote
from .yaml_safe import MAX_BYTES, parse_yaml

if TYPE_CHECKING:
    import mlx.core as mx

MAX_TENSORS = 100_000
DTYPES = {0x404: "float32", 0x402: "float16", 0x101: "int8"}
INTGEMM8 = 0x4101
YAML = "special:model.yml"  # the architecture, beside the tensors
EMBEDDING = "Wemb"  # in names of tables that keep their order when they are packed
ALPHA = "_QuantMultA"  # ends the names of the scales of activations


@dataclass(frozen=True)
class _Tensor:
    """One tensor of the header; nbytes: in the file, with what rounds them up."""

    name: str
    kind: int
    shape: tuple[int, ...]
    offset: int
    nbytes: int


def is_marian(file: SourceFile) -> bool:
    """Return whether a .bin file starts as Marian writes it: version 1, a number of tensors, a header for each."""
    if file.size < 48:
        return False
    version, count, name_length, _, rank, _ = struct.unpack("<6Q", file.read(0, 48))
    return version == 1 and 0 < count <= MAX_TENSORS and 1 < name_length <= 1 << 16 and rank <= 1 << 16


def open_marian(path: Path, budget: Budget) -> Checkpoint:
    """Open a Marian model.bin; the architecture is in `extra` as "model.yml", the scales of activations by their names.

    A matrix has the shape (in, out) of Marian's formulas, although intgemm stores its transpose.
    Raises: FormatError for another version, sizes that do not fit, and weights packed by fbgemm or in 16 bits.
    Source: marian-dev 1.12, src/common/binary.cpp; src/tensors/cpu/expression_graph_packable.h.
    """
    file = SourceFile(path)
    with closing_on_error(file):
        extra: dict = {}
        entries = {}
        for tensor in _read_header(file, budget):
            if tensor.name == YAML:
                extra["model.yml"] = _architecture(file, tensor)
            elif tensor.name.endswith(ALPHA):
                if DTYPES.get(tensor.kind) == "float32" and math.prod(tensor.shape) == 1:
                    extra[tensor.name] = float(file.read_array(tensor.offset, 4).view("<f4")[0])
            else:
                entries[tensor.name] = _entry(file, tensor)
    return Checkpoint(str(path), "marian", entries, extra=extra, files=[file])


def _read_header(file: SourceFile, budget: Budget) -> list[_Tensor]:
    """Return the tensors that the header lists; their bytes follow one another to the end of the file."""

    def numbers(offset: int, count: int, form: str) -> tuple[int, ...]:
        return struct.unpack(f"<{count}{form}", file.read(offset, count * struct.calcsize(form)))

    version, count = numbers(0, 2, "Q")
    if version != 1 or not 0 < count <= MAX_TENSORS:
        raise FormatError(f"Marian format {version} with {count} tensors; version 1 is read", where=file.path)
    budget.spend(3 * TENSOR * count)
    headers = [numbers(16 + 32 * n, 4, "Q") for n in range(count)]
    offset, names = 16 + 32 * count, []
    for length, *_ in headers:
        data = file.read(offset, min(length, 1 << 16))
        offset += length
        if len(data) != length or not data.endswith(b"\0") or data.count(b"\0") != 1:
            raise FormatError(f"the name at byte {offset - length} has no end", where=file.path)
        try:
            names.append(budget.name(data[:-1].decode("utf-8")))
        except UnicodeDecodeError:
            raise FormatError(f"the name at byte {offset - length} is not UTF-8", where=file.path) from None
    shapes = []
    for name, (_, _, rank, _) in zip(names, headers, strict=True):
        if rank > MAX_DIMS:
            raise FormatError(
                f"the tensor {quote(name)} has {rank} dimensions, at most {MAX_DIMS} are read", where=file.path
            )
        shapes.append(check_shape(list(numbers(offset, rank, "i")), name=name, where=file.path))
        offset += 4 * rank
    offset += 8 + numbers(offset, 1, "Q")[0]
    tensors, taken = [], set()
    for name, (_, kind, _, nbytes), shape in zip(names, headers, shapes, strict=True):
        if name in taken or not name:
            raise FormatError(f"the tensor {quote(name)} occurs twice or has no name", where=file.path)
        taken.add(name)
        tensors.append(_checked(_Tensor(name, kind, shape, offset, nbytes), file))
        offset += nbytes
    if offset != file.size:
        raise FormatError(f"the tensors end at byte {offset}, the file at {file.size}", where=file.path)
    return tensors


def _checked(tensor: _Tensor, file: SourceFile) -> _Tensor:
    """Refuse a tensor of a type that is not read, or with fewer bytes than its shape needs."""
    name, kind = quote(tensor.name), tensor.kind
    if kind not in DTYPES and kind != INTGEMM8:
        raise FormatError(
            f"the tensor {name} has the type 0x{kind:x} (16 bits, or packed for one processor); float32, float16 and "
            "intgemm8 are read",
            where=file.path,
            fix="convert the model it was made from, the .npz",
        )
    needed = math.prod(tensor.shape) * (1 if kind == INTGEMM8 else itemsize(DTYPES[kind])) + 4 * (kind == INTGEMM8)
    if kind == INTGEMM8 and tensor.name.endswith(ALPHA):
        needed = 0  # nothing useful is in it
    if kind == INTGEMM8 and len(tensor.shape) != 2:
        raise FormatError(f"the tensor {name} is packed, but {list(tensor.shape)} is not a matrix", where=file.path)
    if tensor.nbytes < needed or tensor.nbytes > needed + 4096 or tensor.offset + tensor.nbytes > file.size:
        raise FormatError(
            f"the tensor {name} needs {needed} bytes, but has {tensor.nbytes} or is cut off", where=file.path
        )
    return tensor


def _architecture(file: SourceFile, tensor: _Tensor) -> dict:
    if tensor.nbytes > MAX_BYTES:
        raise FormatError(f"{tensor.nbytes} bytes of {YAML}, at most {MAX_BYTES} are read", where=file.path)
    return parse_yaml(file.read(tensor.offset, tensor.nbytes).rstrip(b"\0"), where=file.path)


def _entry(file: SourceFile, tensor: _Tensor) -> Entry:
    name, shape = tensor.name, tensor.shape
    if tensor.kind != INTGEMM8:
        dtype = DTYPES[tensor.kind]
        info = TensorInfo.of(name, dtype, shape)
        return Entry(
            info, lambda: to_mlx(file.read_array(tensor.offset, info.nbytes), dtype, shape, name=name, where=file.path)
        )
    info = TensorInfo.of(name, "float32", shape, "int8")
    return Entry(info, lambda: _dequantize(file, tensor))


def _dequantize(file: SourceFile, tensor: _Tensor) -> "mx.array":
    """Return a packed matrix in float32: each number over the one scale behind them. Shapes: -> (in, out)."""
    name, shape = tensor.name, tensor.shape
    data = file.read_array(tensor.offset, math.prod(shape) + 4)
    scale = np.float32(data[-4:].copy().view("<f4")[0])
    if not np.isfinite(scale) or scale <= 0:
        raise FormatError(f"the tensor {quote(name)} has the scale {scale}", where=file.path)
    rows = data[:-4].view(STORAGE["int8"])
    rows = rows.reshape(shape) if EMBEDDING in name else rows.reshape(shape[::-1]).T
    values = np.ascontiguousarray(rows).astype(np.float32) / scale
    return to_mlx(values, "float32", shape, name=name, where=file.path)
