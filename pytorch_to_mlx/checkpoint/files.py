"""Open untrusted files: regular files only, one descriptor for checking and reading, bounded reads."""

import hashlib
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

import numpy as np

from ..errors import FormatError, MachineError
from ..units import size_text

_LONGEST_READ = 1 << 30  # Linux cuts one read at 2^31 - 4096 bytes
_CHUNK = 1 << 24
_WINDOWS_DRIVE = re.compile(r"^[A-Za-z]:")
_KINDS = {stat.S_ISDIR: "a folder", stat.S_ISFIFO: "a pipe", stat.S_ISSOCK: "a socket", stat.S_ISBLK: "a block device"}
_KINDS[stat.S_ISCHR] = "a character device"


def quote(text: object) -> str:
    """Return text from an untrusted file as it may be printed: one line, no control characters, at most 120 long."""
    text = str(text)
    return repr(text if len(text) <= 120 else text[:117] + "…")


def _require_regular(mode: int, path: Path) -> None:
    for is_kind, name in _KINDS.items():
        if is_kind(mode):
            raise FormatError(f"this is {name}, not a file", where=path, fix="give a checkpoint file")


class SourceFile:
    """A regular file held open by one descriptor, so that the file that is read is the one that was checked.

    size: in bytes, when it was opened. links: the number of its hard links.

    Raises: FormatError if it is missing, a folder, a pipe, a device or a socket, or changes while it is open;
    MachineError if the system does not open it.
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
        """Return exactly `length` bytes at `offset`.

        Raises: FormatError if the file is shorter, or has changed since it was opened.
        """
        return self.read_array(offset, length).tobytes()

    def read_array(self, offset: int, length: int) -> np.ndarray:
        """Return exactly `length` bytes at `offset` as a writable array.

        Shapes: -> [length] uint8
        Raises: FormatError if the file is shorter, or has changed since it was opened.
        """
        if offset < 0 or length < 0 or offset + length > self.size:
            raise FormatError(
                f"the file ends at byte {self.size}, but {length} bytes at {offset} are needed", where=self.path
            )
        buffer = np.empty(length, np.uint8)
        view, n_read = buffer.data, 0
        while n_read < length:
            count = os.preadv(self.fd, [view[n_read : n_read + _LONGEST_READ]], offset + n_read)
            if count == 0:
                break
            n_read += count
        status = os.fstat(self.fd)
        if n_read < length or (status.st_size, status.st_mtime_ns) != self._stamp:
            raise FormatError("the file changed while it was read", where=self.path, fix="try again")
        return buffer

    def sha256(self) -> str:
        """Return the sha256 of the whole file. Raises: FormatError if it has changed since it was opened."""
        digest = hashlib.sha256()
        for offset in range(0, self.size, _CHUNK):
            digest.update(self.read_array(offset, min(_CHUNK, self.size - offset)).data)
        return digest.hexdigest()

    def close(self) -> None:
        """Close the descriptor; a second call does nothing."""
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
    succeeded = False
    try:
        yield file
        succeeded = True
    finally:
        if not succeeded:
            file.close()


def relative_inside(folder: Path, name: object, *, where: str | Path) -> Path:
    """Return the path of a file that an input names inside its own `folder`; the file is not opened.

    Symbolic links are refused, except those of the hub's cache: snapshots/REVISION/… -> blobs/HASH.
    Raises: FormatError for a name that is absolute, leaves the folder or passes a symbolic link.
    """
    if not isinstance(name, str) or not name or "\0" in name or "\\" in name or _WINDOWS_DRIVE.match(name):
        raise FormatError(f"names the file {quote(name)}, which is not a relative path", where=where)
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
    """Return the bytes of memory that can still be used: the least of the system's, the cgroup's and the process's."""
    limits = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        available = re.search(r"MemAvailable:\s+(\d+) kB", meminfo.read_text())
        limits += [int(available[1]) * 1024] if available else []
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
    """Refuse work that needs more bytes of memory than there are, or than `limit`.

    Raises: MachineError "needs X of memory, has Y".
    """
    # Before the first allocation, because MLX answers a failed one with a segmentation fault.
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
    """Return what a file is by its first bytes, in words for a message; "data" if they are not known."""
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
    """Return the error for a file that is not what its name or place says."""
    kind = sniff(file)
    return FormatError(f"this is {kind}, not {expected}", where=file.path, fix=_ADVICE.get(kind))
