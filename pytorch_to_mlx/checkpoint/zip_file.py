"""Read zip archives as PyTorch and NumPy write them; refuse what two zip readers could see differently."""

import re
import struct
import zipfile
import zlib
from dataclasses import dataclass

import numpy as np

from ..errors import FormatError
from .budget import Budget
from .files import SourceFile, not_a, quote

MAX_DIRECTORY = 24 << 20
MAX_EXPANSION = 100  # what is over 64 MiB, one member or all together, may be this many times its compressed size
_ENTRY = 90  # bytes of a member in the directory, about
_STEPS = 12  # for a member: to read its entry, and again to compare its headers
_LOCAL = struct.Struct("<4s5H3I2H")
_END = struct.Struct("<4s4H2IH")
_LOCATOR, _END64 = struct.Struct("<4sIQI"), struct.Struct("<4sQ2H2I4Q")
_UTF8, _DESCRIPTOR = 0x800, 0x8


@dataclass(frozen=True)
class Member:
    """One file of an archive whose local and central headers agree.

    offset: of its first byte. size: unpacked, in bytes. stored: in the archive, in bytes.
    """

    name: str
    offset: int
    size: int
    stored: int
    deflated: bool
    crc: int


class _FileObject:
    """A SourceFile as the file object that the standard library's directory parser reads."""

    def __init__(self, file: SourceFile, budget: Budget) -> None:
        self.file, self.offset, self.budget = file, 0, budget

    def seek(self, offset: int, whence: int = 0) -> int:
        self.offset = max(0, offset + (0, self.offset, self.file.size)[whence])
        return self.offset

    def tell(self) -> int:
        return self.offset

    def seekable(self) -> bool:
        return True

    def read(self, length: int = -1) -> bytes:
        n_remaining = max(0, self.file.size - self.offset)
        length = n_remaining if length < 0 else min(length, n_remaining)
        if length > MAX_DIRECTORY:
            raise FormatError(f"a zip directory of {length} bytes", where=self.file.path)
        self.budget.spend(length // _ENTRY * _STEPS)
        data = self.file.read(self.offset, length)
        self.offset += length
        return data


def read_members(file: SourceFile, budget: Budget) -> dict[str, Member]:
    """Return every member by name, in the order of the archive.

    Raises: FormatError for encrypted, duplicate, overlapping, oddly named or badly described members, for an end record
    that tells something else, for a bomb, and where the budget is spent.
    """
    where = file.path
    if file.size < _END.size or file.read(0, 4) != b"PK\x03\x04":
        raise not_a("a zip archive", file)
    if file.read(file.size - _END.size, 4) != b"PK\x05\x06":
        raise FormatError("the zip archive is cut off or carries bytes after its end", where=where)
    try:
        with zipfile.ZipFile(_FileObject(file, budget)) as archive:  # type: ignore[arg-type]
            infos = archive.infolist()
            directory_start = archive.start_dir
    except (zipfile.BadZipFile, struct.error, NotImplementedError, ValueError, EOFError) as error:
        raise FormatError(f"the zip directory is damaged: {error}", where=where) from None
    _check_end(file, len(infos))
    budget.spend(len(infos) * _STEPS)
    members: dict[str, Member] = {}
    seen: set[str] = set()
    last_end = 0
    for info in sorted(infos, key=lambda info: info.header_offset):
        _check_name(info, where)
        if info.orig_filename.casefold() in seen:
            raise FormatError(f"duplicate member {quote(info.orig_filename)}", where=where)
        seen.add(info.orig_filename.casefold())
        member = _read_headers(file, info)
        if info.header_offset < last_end or member.offset + member.stored > directory_start:
            raise FormatError(f"zip members overlap at {quote(member.name)}", where=where)
        if last_end == 0 and info.header_offset:
            raise FormatError("bytes before the first zip member", where=where)
        last_end = member.offset + member.stored
        members[member.name] = member
    packed = [member for member in members.values() if member.deflated]
    _check_expansion(sum(m.stored for m in packed), sum(m.size for m in packed), "the archive", where)
    return members


def _check_end(file: SourceFile, count: int) -> None:
    """Refuse an end record that tells of other disks or another number of members: readers would see other archives."""
    _, *disks, one_disk, total, _, _, _ = _END.unpack(file.read(file.size - _END.size, _END.size))
    numbers, expected = [*disks, one_disk, total], [0, 0, min(count, 0xFFFF), min(count, 0xFFFF)]
    at = file.size - _END.size - _LOCATOR.size
    if at >= 0 and file.read(at, 4) == b"PK\x06\x07":
        _, disk, end64, n_disks = _LOCATOR.unpack(file.read(at, _LOCATOR.size))
        _, _, _, _, *disks, one_disk, total, _, _ = _END64.unpack(file.read(end64, _END64.size))
        numbers += [disk, n_disks, *disks, one_disk, total]
        expected += [0, 1, 0, 0, count, count]
    if numbers != expected:
        raise FormatError(f"the end of the zip archive tells of other disks or members than {count}", where=file.path)


def _check_expansion(stored: int, size: int, what: str, where: object) -> None:
    if size > max(64 << 20, MAX_EXPANSION * stored):
        raise FormatError(f"{what} expands from {stored} to {size} bytes", where=str(where))


def _is_well_formed(extra: bytes) -> bool:
    """Return whether an extra field is a row of (id, length, content)."""
    at = 0
    while at + 4 <= len(extra):
        at += 4 + int.from_bytes(extra[at + 2 : at + 4], "little")
    return at == len(extra)


def _check_name(info: zipfile.ZipInfo, where: object) -> None:
    """Refuse a member whose name leaves the folder or holds control characters."""
    name = info.orig_filename
    bad = not name or name.startswith("/") or "\\" in name or ".." in name.split("/") or len(name) > 4096
    if bad or any(ord(char) < 32 for char in name) or re.match(r"[A-Za-z]:", name):
        raise FormatError(f"zip member {quote(name)} is not a plain relative path", where=str(where))


def _read_headers(file: SourceFile, info: zipfile.ZipInfo) -> Member:
    """Return the member that a directory entry describes, if its local header says the same."""
    name, where = info.orig_filename, file.path
    if info.flag_bits & ~(_UTF8 | _DESCRIPTOR):
        kind = "is encrypted" if info.flag_bits & 0x2041 else f"has the zip flags {info.flag_bits:#x}"
        raise FormatError(f"zip member {quote(name)} {kind}", where=where, fix="save it as a plain archive")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise FormatError(f"zip member {quote(name)} uses compression {info.compress_type}", where=where)
    local = _LOCAL.unpack(file.read(info.header_offset, _LOCAL.size))
    signature, _, flags, method, _, _, crc, stored, size, name_length, extra_length = local
    name_offset = info.header_offset + _LOCAL.size
    local_end = file.read(name_offset, name_length + extra_length)
    local_name, extra = local_end[:name_length], local_end[name_length:]
    try:
        same_name = local_name.decode("utf-8" if flags & _UTF8 else "cp437") == name
    except UnicodeDecodeError:
        same_name = False
    agree = signature == b"PK\x03\x04" and flags == info.flag_bits and method == info.compress_type and same_name
    if flags & _DESCRIPTOR:
        agree = agree and crc in (0, info.CRC)
    else:
        agree = agree and crc == info.CRC and stored in (info.compress_size, 0xFFFFFFFF)
        agree = agree and size in (info.file_size, 0xFFFFFFFF)
    if not agree:
        raise FormatError(f"zip member {quote(name)}: its two headers disagree", where=where)
    if not (_is_well_formed(extra) and _is_well_formed(info.extra)):
        raise FormatError(f"zip member {quote(name)}: its extra field is damaged", where=where)
    deflated = method == zipfile.ZIP_DEFLATED
    if not deflated and info.compress_size != info.file_size:
        raise FormatError(f"zip member {quote(name)} is stored, yet has two sizes", where=where)
    if deflated:
        _check_expansion(info.compress_size, info.file_size, f"zip member {quote(name)}", where)
    offset = name_offset + name_length + extra_length
    return Member(name, offset, info.file_size, info.compress_size, deflated, info.CRC)


def read_head(file: SourceFile, member: Member, count: int) -> bytes:
    """Return the first bytes of a member, at most `count`; the rest is neither read nor inflated.

    Raises: FormatError if it does not inflate.
    """
    data = file.read(member.offset, min(member.stored, count))  # deflated bytes are never many more than plain ones
    if not member.deflated:
        return data
    try:
        return zlib.decompressobj(-15).decompress(data, count)
    except zlib.error as error:
        raise FormatError(f"zip member {quote(member.name)}: {error}", where=file.path) from None


def read_member(file: SourceFile, member: Member) -> np.ndarray:
    """Return the content of one member.

    Shapes: -> [size] uint8
    Raises: FormatError if it does not unpack to its size and CRC.
    """
    data = file.read_array(member.offset, member.stored)
    if member.deflated:
        inflater = zlib.decompressobj(-15)
        try:
            content = inflater.decompress(data.data, member.size + 1)
        except zlib.error as error:
            raise FormatError(f"zip member {quote(member.name)}: {error}", where=file.path) from None
        data = np.frombuffer(content, np.uint8)
    if len(data) != member.size or zlib.crc32(data.data) != member.crc:
        raise FormatError(
            f"zip member {quote(member.name)} is damaged (CRC)", where=file.path, fix="download the file again"
        )
    return data
