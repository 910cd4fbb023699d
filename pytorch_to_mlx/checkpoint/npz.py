"""NumPy .npy and .npz, without its unpickler: plain arrays only."""

import math
import re
from pathlib import Path

import numpy as np

from ..errors import FormatError, UnsafeError
from .base import Checkpoint, Entry, TensorInfo, check_shape, itemsize, to_mlx
from .files import SourceFile, closing_on_error, not_a, quote
from .zip_file import Member, read_member, read_members

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


def open_npz(path: Path) -> Checkpoint:
    """Open an .npz archive; each member NAME.npy is one tensor.

    Raises: UnsafeError for object arrays (a pickle); FormatError for anything else that is no plain array.
    """
    file = SourceFile(path)
    with closing_on_error(file):
        entries = {}
        for member in read_members(file).values():
            if not member.name.endswith(".npy"):
                raise FormatError(f"member {quote(member.name)} is no .npy", where=path)
            name = member.name.removesuffix(".npy")
            entries[name] = _member_entry(file, member, name)
    return Checkpoint(str(path), "npz", entries, files=[file])


def open_npy(path: Path) -> Checkpoint:
    """Open one .npy file as a checkpoint with one tensor, named as the file is."""
    file = SourceFile(path)
    with closing_on_error(file):
        if file.size < 10 or file.read(0, 6) != b"\x93NUMPY":
            raise not_a("a NumPy array", file)
        head = file.read(0, min(file.size, MAX_HEADER + 12))
        info, stored, start, fortran, swapped = _parse(head, file.size, path.stem, path)
        length = file.size - start
        read = lambda: _array(file.read_array(start, length), info, stored, fortran, swapped, path)  # noqa: E731
    return Checkpoint(str(path), "npy", {path.stem: Entry(info, read)}, files=[file])


def _member_entry(file: SourceFile, member: Member, name: str) -> Entry:
    # A deflated member has to be inflated to see its header; its size was bounded by read_members.
    head = read_member(file, member)[: MAX_HEADER + 12] if member.deflated else None
    if head is None:
        head = file.read_array(member.offset, min(member.stored, MAX_HEADER + 12))
    info, stored, start, fortran, swapped = _parse(head.tobytes(), member.size, name, file.path)

    def read():
        return _array(read_member(file, member)[start:], info, stored, fortran, swapped, file.path)

    return Entry(info, read)


def _parse(head: bytes, size: int, name: str, where: Path) -> tuple[TensorInfo, str, int, bool, bool]:
    if head[:6] != b"\x93NUMPY" or len(head) < 10 or head[6] not in (1, 2, 3):
        raise FormatError(f"{quote(name)} is no NumPy array of version 1 to 3", where=where)
    width = 2 if head[6] == 1 else 4
    length = int.from_bytes(head[8 : 8 + width], "little")
    start = 8 + width + length
    if length > MAX_HEADER or start > len(head):
        raise FormatError(f"{quote(name)}: the header claims {length} bytes", where=where)
    text = head[8 + width : start].decode("latin-1")
    if re.search(r"'descr': *'[<>|=]?O", text):
        raise UnsafeError(f"{quote(name)} is an object array, which hides a pickle; nothing was run", where=where)
    match = _HEADER.fullmatch(text)
    stored = DTYPES.get(f"{match[2]}{match[3]}") if match else None
    if not match or stored is None:
        raise FormatError(f"{quote(name)}: the header {quote(text.strip())} is no plain array of numbers", where=where)
    shape = check_shape([int(part[:20]) for part in match[5].replace(",", " ").split()], name=name, where=where)
    needed = math.prod(shape) * itemsize(stored)
    if size - start != needed:
        raise FormatError(
            f"{quote(name)}: shape {list(shape)} of {stored} needs {needed} bytes, there are {size - start}",
            where=where,
        )
    return TensorInfo.of(name, stored, shape), stored, start, match[4] == "True", match[1] == ">"


def _array(data: np.ndarray, info: TensorInfo, stored: str, fortran: bool, swapped: bool, where: Path):
    if swapped:
        data = data.reshape(-1, itemsize(stored))[:, ::-1].reshape(-1).copy()
    if fortran and len(info.shape) > 1:
        size = itemsize(stored)
        elements = data.reshape(*info.shape[::-1], size)
        data = np.ascontiguousarray(elements.transpose(*range(len(info.shape) - 1, -1, -1), len(info.shape)))
    return to_mlx(data.reshape(-1), stored, info.shape, name=info.name, where=where)
