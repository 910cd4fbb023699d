"""Open files that nobody vouches for: regular files only, one descriptor for check and read, bounded reads."""

import os
import re
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

import numpy as np

from ..errors import FormatError, MachineError
from ..units import size_text

_LONGEST_READ = 1 << 30  # Linux cuts one read at 2^31 - 4096 bytes
_WINDOWS_DRIVE = re.compile(r"^[A-Za-z]:")
_KINDS = {stat.S_ISDIR: "a folder", stat.S_ISFIFO: "a pipe", stat.S_ISSOCK: "a socket", stat.S_ISBLK: "a block device"}
_KINDS[stat.S_ISCHR] = "a character device"


def quote(text: object) -> str:
    """A name from an untrusted file as it may be printed: one line, no control characters, not endless."""
    shown = text if isinstance(text, str) else str(text)
    return repr(shown if len(shown) <= 120 else shown[:117] + "…")


def _require_regular(mode: int, path: Path) -> None:
    for is_kind, name in _KINDS.items():
        if is_kind(mode):
            raise FormatError(f"this is {name}, not a file", where=path, fix="give a checkpoint file")


class SourceFile:
    """A regular file held open by one descriptor, so that what was checked is what is read.

    Raises: FormatError for pipes, devices, sockets, short reads and a file that changes while it is open.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            _require_regular(os.stat(path).st_mode, path)
            # O_NONBLOCK: a pipe put in place of the file between the two calls must not hang us.
            self.fd = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
        except FileNotFoundError:
            raise FormatError("no such file", where=path) from None
        except (OSError, ValueError) as error:
            raise MachineError(f"cannot be opened: {error}", where=path) from None
        status = os.fstat(self.fd)
        _require_regular(status.st_mode, path)
        self.size = status.st_size
        self.links = status.st_nlink
        self._stamp = (status.st_size, status.st_mtime_ns)

    def read(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes at `offset`."""
        return self.read_array(offset, length).tobytes()

    def read_array(self, offset: int, length: int) -> np.ndarray:
        """Exactly `length` bytes at `offset`. Shapes: -> [length] uint8, writable."""
        if offset < 0 or length < 0 or offset + length > self.size:
            raise FormatError(
                f"ends at byte {self.size}, but {length} bytes at {offset} are asked for", where=self.path
            )
        buffer = np.empty(length, np.uint8)
        view, done = buffer.data, 0
        while done < length:
            got = os.preadv(self.fd, [view[done : done + _LONGEST_READ]], offset + done)
            if got == 0:
                break
            done += got
        status = os.fstat(self.fd)
        if done < length or (status.st_size, status.st_mtime_ns) != self._stamp:
            raise FormatError("the file changed while it was read", where=self.path, fix="try again")
        return buffer

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def __enter__(self) -> "SourceFile":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@contextmanager
def closing_on_error(file: SourceFile) -> Iterator[SourceFile]:
    """Close the file if the block raises; leave it open otherwise."""
    done = False
    try:
        yield file
        done = True
    finally:
        if not done:
            file.close()


def relative_inside(folder: Path, name: object, *, where: str | Path) -> Path:
    """The path of a file that an input names, if it lies inside the input's own folder.

    Symbolic links are refused, but for the hub cache's own: snapshots/REVISION/… -> blobs/HASH.
    Raises: FormatError; the named path is not opened.
    """
    if not isinstance(name, str) or not name or "\0" in name or "\\" in name or _WINDOWS_DRIVE.match(name):
        raise FormatError(f"names the file {quote(name)}, which is no relative path", where=where)
    parts = PurePosixPath(name).parts
    if name.startswith("/") or ".." in parts or len(name) > 1024:
        raise FormatError(f"names the file {quote(name)} outside its own folder", where=where)
    path = folder
    for part in parts:
        path = path / part
        if path.is_symlink() and not _is_hub_link(path):
            raise FormatError(f"names {quote(name)}, which is a symbolic link", where=where, fix="copy the file")
    return path


def _is_hub_link(path: Path) -> bool:
    for parent in path.parents:
        if parent.name == "snapshots":
            return Path(os.path.realpath(path)).parent == Path(os.path.realpath(parent.parent)) / "blobs"
    return False


def available_memory() -> int:
    """Bytes of memory that can still be used: the least of what the system, the cgroup and the limits say."""
    limits = [sys.maxsize]
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limits.append(pages)
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        found = re.search(r"MemAvailable:\s+(\d+) kB", meminfo.read_text())
        limits += [int(found[1]) * 1024] if found else []
    try:
        ceiling = Path("/sys/fs/cgroup/memory.max").read_text().strip()
        used = int(Path("/sys/fs/cgroup/memory.current").read_text())
        limits += [int(ceiling) - used] if ceiling != "max" else []
    except (OSError, ValueError):
        pass  # no cgroup (macOS, cgroup v1)
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    if soft != resource.RLIM_INFINITY:
        limits.append(soft)
    return max(0, min(limits))


def require_memory(needed: int, *, where: str | Path, limit: int | None = None) -> None:
    """Refuse before the first allocation: MLX answers a failed one with a segmentation fault.

    Raises: MachineError "needs X of memory, has Y".
    """
    has = available_memory() if limit is None else limit
    if needed > has:
        raise MachineError(
            f"needs {size_text(needed)} of memory, has {size_text(has)}",
            where=where,
            fix="use a machine with more memory" if limit is None else "raise the limit",
        )


_MAGIC = (
    (b"PK\x03\x04", "a zip archive"),
    (b"PK\x05\x06", "an empty zip archive"),
    (b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.", "a legacy PyTorch file"),
    (b"version https://git-lfs", "a Git LFS pointer"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"GGUF", "a GGUF file"),
    (b"\x1f\x8b", "a gzip file"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"\x89HDF\r\n", "an HDF5 file"),
    (b"BZh", "a bzip2 file"),
    (b"\xfd7zXZ\x00", "an xz file"),
    (b"\x28\xb5\x2f\xfd", "a zstd file"),
    (b"Rar!", "a RAR archive"),
    (b"%PDF", "a PDF file"),
    (b"\x80", "a bare pickle"),
)


def sniff(file: SourceFile) -> str:
    """What a file is by its first bytes, in words for a message; 'data' when nothing is recognised."""
    head = file.read(0, min(file.size, 512))
    if not head:
        return "an empty file"
    for magic, name in _MAGIC:
        if head.startswith(magic):
            return name
    if len(head) > 262 and head[257:262] == b"ustar":
        return "a tar archive"
    if head[4:8] == b"TFL3":
        return "a TensorFlow Lite file"
    if len(head) > 8 and head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= file.size:
        return "a safetensors file"
    text = head.lstrip().lower()
    if text.startswith((b"<!doctype", b"<html", b"<?xml")):
        return "an HTML or XML page"
    if text.startswith((b"{", b"[")):
        return "a JSON text"
    return "data"


_ADVICE = {
    "a Git LFS pointer": "run: git lfs pull",
    "an HTML or XML page": "the download saved a web page; download the file again",
    "a gzip file": "unpack it first: gunzip",
    "a tar archive": "tar checkpoints are refused; load and save it again with a current PyTorch",
    "a bare pickle": "load it with PyTorch where you trust it, and save its state_dict() with torch.save",
}


def not_a(expected: str, file: SourceFile) -> FormatError:
    """The error for a file that is something else than its name or place says."""
    found = sniff(file)
    return FormatError(f"this is {found}, not {expected}", where=file.path, fix=_ADVICE.get(found))
