"""Write a folder that is whole or not there: in a locked work folder beside it, renamed into place at the end.

The work folder `.NAME.pytorch-to-mlx` holds `lock` (locked while its process lives), `new` (what is being written)
and, for a moment while a folder is replaced, `old`. A process that dies leaves its work folder behind; the next run in
the same parent folder removes it, and first puts `old` back if nothing took its place.
"""

import ctypes
import errno
import fcntl
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from ..errors import MachineError, UsageError
from ..units import size_text

SUFFIX = ".pytorch-to-mlx"
MAX_TRIES = 100
AT_FDCWD, EXCHANGE = -100, 2  # linux/fcntl.h, and RENAME_EXCHANGE of linux/fs.h, RENAME_SWAP of macOS's sys/stdio.h
_FIX = "choose another --mlx-path"
_DISK_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@contextmanager
def new_folder(
    dest: str | Path, *, force: bool = False, source: str | Path | None = None, needs: int = 0
) -> Iterator[Path]:
    """Yield an empty folder that becomes `dest` when the block ends, and is removed if the block raises.

    needs: bytes that will be written. source: the checkpoint; neither may lie inside the other.
    Raises: UsageError if `dest` cannot be taken; MachineError if another run holds it or the disk is too small.
    """
    dest = Path(dest)
    _check_path(dest, source)
    new_parents = _make_parents(dest)
    finished = False
    try:
        with ExitStack() as stack:
            with disk_errors(dest, needs):
                work = stack.enter_context(_work_folder(dest))
                _check_path(dest, source)
                _check_free(dest, force)
                check_space(dest, needs)
                new = work / "new"
                new.mkdir()
            yield new
            with disk_errors(dest, needs):
                _move_into_place(new, dest, work / "old")
            finished = True
    finally:
        if not finished:
            for parent in new_parents:
                with suppress(OSError):
                    parent.rmdir()


@contextmanager
def disk_errors(where: Path, needs: int) -> Iterator[None]:
    """Turn the system's errors inside the block into a MachineError about writing `where`, which needs `needs` bytes.

    Raises: MachineError that names the space where the disk is full, and permissions otherwise.
    """
    try:
        yield
    except OSError as error:
        free = shutil.disk_usage(_existing(where)).free
        is_full = error.errno in _DISK_FULL or (needs > free and error.errno != errno.ENOENT)
        space = f"needs {size_text(needs)}, has {size_text(free)}"
        fix = f"free some disk space: {space}" if is_full else "check its permissions"
        raise MachineError(f"cannot be written: {error}", where=where, fix=fix) from error


def check_destination(dest: Path, *, force: bool) -> None:
    """Refuse a destination before the work starts; `new_folder` checks again, under its lock.

    Raises: UsageError if `dest` exists (with `force`: and is not a converted folder), or nothing can be written there.
    """
    _check_path(dest, None)
    _check_free(dest, force)


def _check_path(dest: Path, source: str | Path | None) -> None:
    """Refuse a path at which nothing can be written, whether or not something is there.

    Raises: UsageError for impossible names, links, files, and a destination inside the source or around it.
    """
    try:
        status = _status(dest)
    except (OSError, ValueError) as error:
        raise UsageError(
            f"the destination is not a usable path: {error}", where=repr(str(dest))[:80], fix=_FIX
        ) from None
    if str(dest).startswith("~"):
        raise UsageError("the shell did not expand '~'", where=dest, fix="write the whole path")
    if not dest.name or dest.name in {".", ".."}:
        raise UsageError("the destination has no name of its own", where=dest, fix=_FIX)
    if len(os.fsencode(dest.name)) > 255 - len(SUFFIX) - 1:
        raise UsageError(f"the destination's name is too long: {len(dest.name)} characters", fix=_FIX)
    if status is not None and stat.S_ISLNK(status.st_mode):
        fix = f"{_FIX}, or give the folder it points to"
        raise UsageError("the destination is a symbolic link", where=dest, fix=fix)
    above = _existing(dest.parent)
    if not above.is_dir() or (status is not None and not stat.S_ISDIR(status.st_mode)):
        raise UsageError(f"{dest if status else above} is a file", where=dest, fix=_FIX)
    if source is not None and Path(source).exists():
        src, out = Path(source).resolve(), dest.resolve()
        if src == out or src in out.parents:
            raise UsageError(f"the destination lies in the source {source}", where=dest, fix=_FIX)
        if out in src.parents:
            raise UsageError(f"the source {source} lies in the destination", where=dest, fix=_FIX)


def _check_free(dest: Path, force: bool) -> None:
    """Refuse a `dest` that exists and may not be replaced; only the holder of the lock can rely on the answer.

    Raises: UsageError.
    """
    if _status(dest) is None:
        return
    if not force:
        raise UsageError("the destination exists", where=dest, fix=f"{_FIX}, or pass --force to replace it")
    if any(dest.iterdir()) and not (dest / "config.json").is_file():
        what = "--force replaces converted folders only, and this one has no config.json"
        raise UsageError(what, where=dest, fix=_FIX)


def check_space(dest: Path, needs: int) -> None:
    """Refuse to write `needs` bytes to a disk that cannot hold them.

    Raises: MachineError "not enough disk space: needs X, has Y".
    """
    free = shutil.disk_usage(_existing(dest)).free
    if needs > free:
        raise MachineError(
            f"not enough disk space: needs {size_text(needs)}, has {size_text(free)}",
            where=dest,
            fix="free some or choose another disk",
        )


def _status(path: Path) -> os.stat_result | None:
    """Return what is at `path` itself, links not followed; None if nothing is.

    Raises: OSError or ValueError if it cannot be a path.
    """
    try:
        return os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None


@contextmanager
def _work_folder(dest: Path) -> Iterator[Path]:
    """Yield the locked, empty work folder of `dest`, and remove it afterwards, whatever happened."""
    for other in dest.parent.glob(f".*{SUFFIX}"):
        if other != _work_path(dest):
            _sweep(other)
    work = _work_path(dest)
    lock = _lock(work, create=True)
    if lock is None:
        raise MachineError("another conversion to this destination is running", where=dest, fix="wait until it ends")
    try:
        _recover(work, dest)
        yield work
    finally:
        _recover(work, dest)
        _remove(work, lock)


def _work_path(dest: Path) -> Path:
    return dest.parent / f".{dest.name}{SUFFIX}"


def _sweep(work: Path) -> None:
    """Remove a work folder whose process died; leave one that is in use or not ours."""
    if not (work / "lock").is_file():
        return
    with suppress(OSError):  # it may be another user's
        lock = _lock(work, create=False)
        if lock is not None:
            _recover(work, work.parent / work.name[1 : -len(SUFFIX)])
            _remove(work, lock)


def _lock(work: Path, *, create: bool) -> int | None:
    """Lock a work folder, with `create` made if needed, and return the descriptor of its lock.

    None means that a living process holds it, or that the folder is gone and `create` is not given.
    """
    for _ in range(MAX_TRIES):
        if create:
            with suppress(FileExistsError):  # not exist_ok: it looks again, and another run may have removed it
                work.mkdir()
        try:
            if work.is_symlink():
                raise OSError(errno.ELOOP, "the work folder is a symbolic link", str(work))
            fd = os.open(work / "lock", os.O_RDWR | os.O_NOFOLLOW | (os.O_CREAT if create else 0), 0o600)
        except FileNotFoundError:  # its owner removed it between the two calls
            if create:
                continue
            return None
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return None
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(fd), os.stat(work / "lock")):
                return fd
        os.close(fd)  # we locked a file that its owner had just removed
    raise OSError(errno.EAGAIN, "the work folder is removed again and again", str(work))


def _recover(work: Path, dest: Path) -> None:
    """Put `old` back if nothing took its place, and remove what remains of `new` and `old`."""
    old = work / "old"
    if old.exists() and not os.path.lexists(dest):
        old.rename(dest)
    for path in (work / "new", old):
        if os.path.lexists(path):
            shutil.rmtree(path)


def _remove(work: Path, lock: int) -> None:
    (work / "lock").unlink()
    os.close(lock)
    with suppress(OSError):  # a second run may have put its own lock there already
        work.rmdir()


def _move_into_place(new: Path, dest: Path, old: Path) -> None:
    """Put `new` in the place of `dest` in one step; where the system cannot, `dest` is first renamed to `old`."""
    if not (os.path.lexists(dest) and _exchange(new, dest)):
        if os.path.lexists(dest):
            dest.rename(old)
        new.rename(dest)
    fd = os.open(dest.parent, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two paths in one step, so that each exists at any moment; return whether the system can do it."""
    libc = ctypes.CDLL(None)
    paths = os.fsencode(one), os.fsencode(other)
    if hasattr(libc, "renameat2"):  # Linux, glibc 2.28 or newer
        return libc.renameat2(AT_FDCWD, paths[0], AT_FDCWD, paths[1], EXCHANGE) == 0
    if hasattr(libc, "renamex_np"):  # macOS
        return libc.renamex_np(*paths, EXCHANGE) == 0
    return False


def _make_parents(dest: Path) -> list[Path]:
    """Make the missing folders above `dest` and return them, innermost first."""
    missing = [p for p in dest.parents if not p.exists()]
    with disk_errors(dest, 0):
        dest.parent.mkdir(parents=True, exist_ok=True)
    return missing


def _existing(path: Path) -> Path:
    """Return `path` or the nearest folder above it that exists."""
    return next((p for p in (path, *path.parents) if p.exists()), Path.cwd())
