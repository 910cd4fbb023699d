"""Write an output: a regular file whole or not at all; a device, a pipe or stdout directly. No node is replaced."""

import errno
import fcntl
import os
import re
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from secrets import token_hex
from typing import Any, BinaryIO

from .errors import MachineError, MissingExtraError, UsageError

STDOUT = Path("-")  # as a destination: stdout
_MAX_LINKS = 40
_NODES = {stat.S_IFBLK: "a disk", stat.S_IFSOCK: "a socket"}


@dataclass(frozen=True)
class Destination:
    """Where an output goes. path: links followed; descriptor: an open file of this process, which `path` stands for.

    direct: the bytes go there as they come, because it is not a regular file that can appear whole.
    """

    path: Path
    descriptor: int | None = None
    direct: bool = False


def check_destination(path: Path, *, regular: bool = False) -> Destination:
    """Return where an output to `path` goes, before anything is made: links are followed, and - is stdout.

    regular: only a regular file will do.
    Raises: UsageError for a folder, a disk, a socket, or a folder that does not exist; MachineError if the folder
    cannot be written.
    """
    destination = _follow(path)
    if destination.direct:
        if regular:
            raise UsageError("not a regular file", where=path, fix="name a file")
        return destination
    folder = destination.path.parent
    if not folder.is_dir():
        reason = "its folder does not exist" if not folder.exists() else f"'{folder}' is not a folder"
        raise UsageError(f"cannot write to '{path}': {reason}", fix="make the folder first")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise MachineError(f"writing failed: the folder '{folder}' cannot be written", where=path)
    return destination


def is_stdout(path: object) -> bool:
    """Tell whether an output to `path` goes to stdout, so that nothing else may be written there."""
    return isinstance(path, Path) and _descriptor(path) == 1


def _follow(path: Path) -> Destination:
    """Follow links one by one: an open file of this process is written as it is open, not opened again by its name."""
    here = path
    try:
        for _ in range(_MAX_LINKS):
            if (descriptor := _own_descriptor(here)) is not None:
                os.fstat(descriptor)
                return Destination(here, descriptor, direct=True)
            if not here.is_symlink():
                break
            here = here.parent / os.readlink(here)
        else:
            raise UsageError("cannot be written: its links lead in a circle", where=path)
        mode = os.stat(here).st_mode
    except FileNotFoundError:
        return Destination(here)
    except (NotADirectoryError, ValueError) as error:  # ValueError: a NUL in the path
        raise UsageError(f"cannot be written: {error}", where=repr(str(path))) from error
    except OSError as error:
        kind = UsageError if error.errno in (errno.EBADF, errno.ENAMETOOLONG, errno.ELOOP) else MachineError
        raise kind(f"cannot be written: {error.strerror}", where=path) from error
    kind = stat.S_IFMT(mode)
    if kind == stat.S_IFDIR:
        raise UsageError(f"cannot write to '{path}': it is a folder", fix="name a file in it")
    if kind in _NODES:
        raise UsageError(f"cannot write to '{path}': it is {_NODES[kind]}", fix="name a file")
    return Destination(here, direct=kind != stat.S_IFREG)


def _descriptor(path: Path) -> int | None:
    """Return the open file of this process that `path` stands for after its links, if it is one."""
    with suppress(UsageError, MachineError):
        return _follow(path).descriptor
    return None


def _own_descriptor(path: Path) -> int | None:
    """Return N for /dev/fd/N, /proc/self/fd/N and the like, 1 for -."""
    if path == STDOUT:
        return 1
    if not re.fullmatch(r"\d{1,9}", path.name):
        return None
    folder = os.path.realpath(path.parent)
    return int(path.name) if folder in ("/dev/fd", f"/proc/{os.getpid()}/fd") else None


class Output:
    """An output that is being written: `file` takes the bytes, `finish` puts them in their place, `discard` drops them.

    temporary: where a regular file is written until it is finished; None if the bytes go to the destination directly.
    """

    file: BinaryIO

    def __init__(self, path: Path, *, regular: bool = False, ending: str = "") -> None:
        self.path = path
        self.destination = check_destination(path, regular=regular)
        self.temporary: Path | None = None
        with self.reported():
            if self.destination.descriptor is not None:
                self.file = open(os.dup(self.destination.descriptor), "wb")
            elif self.destination.direct:
                self.file = open(os.open(self.destination.path, os.O_WRONLY | os.O_NOCTTY), "wb")
            else:
                _remove_leftovers(self.destination.path)
                self.temporary, self.file = _new_temporary(self.destination.path, ending)

    def finish(self) -> None:
        """Write what is left, and move a regular file to its place. Raises: MachineError if the disk refuses."""
        with self.reported():
            self.file.flush()
            if self.temporary is not None:
                os.fsync(self.file.fileno())
                _put_in_place(self.temporary, self.destination.path)
                self.temporary = None
            self.file.close()

    def discard(self) -> None:
        """Remove what is not finished; after `finish` there is nothing."""
        with suppress(OSError):  # a full disk cannot take the rest either
            self.file.close()
        if self.temporary is not None:
            self.temporary.unlink(missing_ok=True)

    @contextmanager
    def reported(self) -> Iterator[None]:
        """Turn what the disk refuses inside the block into a MachineError; a pipe that nobody reads stays what it is.

        Raises: MachineError with the reason.
        """
        try:
            yield
        except BrokenPipeError:
            raise
        except OSError as error:
            reason = error.strerror or "not all of it could be written"
            raise MachineError(f"writing failed: {reason}", where=self.path) from error


@contextmanager
def open_output(path: Path, *, regular: bool = False, ending: str = "") -> Iterator[Output]:
    """Write an output; a regular file appears at `path` whole, and only if the block ends without error.

    regular: only a regular file will do. ending: of the temporary file, for readers that go by it.
    Raises: what check_destination raises, MachineError if the disk refuses.
    """
    output = Output(path, regular=regular, ending=ending)
    try:
        with output.reported():
            yield output
        output.finish()
    finally:
        output.discard()


def write_output(path: Path, content: str | bytes) -> None:
    """Write an output at once, text as UTF-8. Raises: what `open_output` raises."""
    with open_output(path) as output:
        output.file.write(content.encode() if isinstance(content, str) else content)


def check_figure(path: Path) -> None:
    """Check that a figure can be written to `path`, before the work whose result it shows.

    Raises: MissingExtraError without matplotlib, UsageError for an ending that is not a picture's, and what
    `check_destination` raises.
    """
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise MissingExtraError("matplotlib", "plot", needed_for="--plot") from error
    check_destination(path)
    if path.suffix and path.suffix[1:].lower() not in Figure().canvas.get_supported_filetypes():
        raise UsageError("the plot cannot be written: not the ending of a picture", where=path, fix="use .svg or .png")


def write_figure(figure: Any, path: Path, **options: Any) -> None:
    """Write a figure of matplotlib as the ending of `path` says, .png if it has none.

    Raises: UsageError for an ending that is not a picture's, and what `open_output` raises.
    """
    picture = BytesIO()
    try:
        figure.savefig(picture, format=path.suffix.removeprefix(".") or "png", **options)
    except ValueError as error:
        raise UsageError(f"the plot cannot be written: {error}", where=path) from error
    write_output(path, picture.getvalue())


def _new_temporary(path: Path, ending: str) -> tuple[Path, BinaryIO]:
    """Make the file beside `path` that becomes it. Its lock says that a living process writes it."""
    while True:
        temporary = path.with_name(f".{path.name[:40]}.{token_hex(6)}.part{ending}")
        file = open(temporary, "x+b")
        with suppress(OSError):  # not every file system has locks
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with suppress(FileNotFoundError):
            if os.path.samestat(os.stat(temporary), os.fstat(file.fileno())):
                return temporary, file
        file.close()  # another process took it for a leftover before it was locked


def _remove_leftovers(path: Path) -> None:
    """Remove what killed runs left of an output to `path`; what a living process writes is locked, and stays."""
    name = re.compile(rf"\.{re.escape(path.name[:40])}\.[0-9a-f]{{12}}\.part(\.[a-z]+)?")
    entries: list[os.DirEntry[str]] = []
    with suppress(PermissionError), os.scandir(path.parent) as folder:
        entries = [entry for entry in folder if name.fullmatch(entry.name)]
    for entry in entries:
        if not entry.is_file(follow_symlinks=False):
            continue
        with suppress(OSError), open(os.open(entry.path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK), "r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.unlink(entry.path)


def _put_in_place(temporary: Path, path: Path) -> None:
    """Rename onto `path`, keeping the permissions of the file that was there."""
    try:
        os.chmod(temporary, stat.S_IMODE(os.stat(path).st_mode))
    except FileNotFoundError:
        pass
    try:
        os.replace(temporary, path)
    except OSError as error:
        if error.errno not in (errno.EBUSY, errno.EXDEV):
            raise
        shutil.copyfile(temporary, path)  # a single file that is mounted, as containers do, cannot be renamed onto
        temporary.unlink()
