"""Read NumPy's .npy and .npz without its unpickler: plain arrays only."""

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import FormatError, UnsafeError
from .base import Checkpoint, Entry, TensorInfo, check_shape, itemsize, to_mlx
from .budget import TENSOR, Budget
from .files import SourceFile, closing_on_error, not_a, quote
from .zip_file import Member, read_head, read_member, read_members

if TYPE_CHECKING:
    import mlx.core as mx

MAX_HEADER = 64 << 10
_HEADER = re.compile(
    r"\{'descr': '([<>|=])([a-zA-Z])(\d{1,4})', 'fortran_order': (True|False), 'shape': \(([0-9, ]*)\), ?\} *\n?"
)
DTYPES = {
    "b1": "bool",
    "u1": "uint8",
    "i1": "int8",
    "u2": "uint16",
    "i2": "int16",
    "u4": "uint32",
    "i4": "int32",
    "u8": "uint64",
    "i8": "int64",
    "f2": "float16",
    "f4": "float32",
    "f8": "float64",
    "c8": "complex64",
}


def open_npz(path: Path, budget: Budget) -> Checkpoint:
    """Open an .npz archive; each member NAME.npy is one tensor.

    Raises: UnsafeError for object arrays (a pickle); FormatError for anything else that is not a plain array.
    """
    file = SourceFile(path)
    with closing_on_error(file):
        entries = {}
        for member in read_members(file, budget).values():
            if not member.name.endswith(".npy"):
                raise FormatError(f"member {quote(member.name)} is not a .npy file", where=path)
            name = member.name.removesuffix(".npy")
            if name.endswith(".npy"):  # numpy takes the ending off once or twice, and two names could be one
                raise FormatError(f"member {quote(member.name)} has the ending .npy twice", where=path)
            budget.spend(TENSOR)
            entries[name] = _member_entry(file, member, name)
    return Checkpoint(str(path), "npz", entries, files=[file])


def open_npy(path: Path, budget: Budget) -> Checkpoint:
    """Open one .npy file as a checkpoint with one tensor, named like the file.

    Raises: UnsafeError for object arrays (a pickle); FormatError for anything else that is not a plain array.
    """
    file = SourceFile(path)
    with closing_on_error(file):
        if file.size < 10 or file.read(0, 6) != b"\x93NUMPY":
            raise not_a("a NumPy array", file)
        head = file.read(0, min(file.size, MAX_HEADER + 12))
        layout = _parse_header(head, file.size, path.stem, path)
        length = file.size - layout.data_start
        entry = Entry(layout.info, lambda: _read_array(file.read_array(layout.data_start, length), layout, path))
    return Checkpoint(str(path), "npy", {path.stem: entry}, files=[file])


@dataclass(frozen=True)
class _Layout:
    """How the bytes of an array lie behind its header: columns first in Fortran order, swapped if big-endian."""

    info: TensorInfo
    stored_dtype: str
    data_start: int
    is_fortran: bool
    is_swapped: bool


def _member_entry(file: SourceFile, member: Member, name: str) -> Entry:
    layout = _parse_header(read_head(file, member, MAX_HEADER + 12), member.size, name, file.path)
    return Entry(layout.info, lambda: _read_array(read_member(file, member)[layout.data_start :], layout, file.path))


def _parse_header(head: bytes, size: int, name: str, where: Path) -> _Layout:
    """Return the layout of an array from the beginning of a file of `size` bytes."""
    if head[:6] != b"\x93NUMPY" or len(head) < 10 or head[6] not in (1, 2, 3) or head[7]:
        raise FormatError(f"{quote(name)} is not a NumPy array of version 1.0, 2.0 or 3.0", where=where)
    width = 2 if head[6] == 1 else 4
    length = int.from_bytes(head[8 : 8 + width], "little")
    start = 8 + width + length
    if length > MAX_HEADER or start > len(head):
        raise FormatError(f"{quote(name)}: the header claims {length} bytes", where=where)
    text = head[8 + width : start].decode("latin-1")
    if re.search(r"'descr': *'[<>|=]?O", text):
        raise UnsafeError(f"{quote(name)} is an object array, which hides a pickle; nothing was run", where=where)
    match = _HEADER.fullmatch(text)
    stored_dtype = DTYPES.get(f"{match[2]}{match[3]}") if match else None
    if not match or stored_dtype is None:
        raise FormatError(
            f"{quote(name)}: the header {quote(text.strip())} is not that of a plain array of numbers", where=where
        )
    shape = check_shape([int(part[:20]) for part in match[5].replace(",", " ").split()], name=name, where=where)
    needed = math.prod(shape) * itemsize(stored_dtype)
    if size - start != needed:
        raise FormatError(
            f"{quote(name)}: shape {list(shape)} of {stored_dtype} needs {needed} bytes, there are {size - start}",
            where=where,
        )
    return _Layout(TensorInfo.of(name, stored_dtype, shape), stored_dtype, start, match[4] == "True", match[1] == ">")


def _read_array(data: np.ndarray, layout: _Layout, where: Path) -> "mx.array":
    """Return the array of these bytes. Shapes: data [nbytes] uint8 -> layout.info.shape."""
    shape, size = layout.info.shape, itemsize(layout.stored_dtype)
    if layout.is_swapped:
        data = data.reshape(-1, size)[:, ::-1].reshape(-1).copy()
    if layout.is_fortran and len(shape) > 1:
        elements = data.reshape(*shape[::-1], size)
        data = np.ascontiguousarray(elements.transpose(*range(len(shape) - 1, -1, -1), len(shape)))
    return to_mlx(data.reshape(-1), layout.stored_dtype, shape, name=layout.info.name, where=where)
