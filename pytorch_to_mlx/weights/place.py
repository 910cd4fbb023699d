"""A destination that is whole or not there: a locked folder beside it, renamed into place at the end.

The work folder `.NAME.pytorch-to-mlx` holds `lock` (locked while its process lives), `new` (what is being written)
and, for a moment while a folder is replaced, `old`. A process that dies leaves it; the next run beside it sweeps it,
and first puts `old` back if nothing took its place.
"""

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
_FIX = "choose another --mlx-path"
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@contextmanager
def new_folder(
    dest: str | Path, *, force: bool = False, source: str | Path | None = None, needs: int = 0
) -> Iterator[Path]:
    """An empty folder that becomes `dest` when the block ends, and is removed if it raises.

    needs: bytes that will be written. source: the checkpoint; neither may lie inside the other.
    Raises: UsageError if `dest` cannot be taken; MachineError if another run holds it or the disk is too small.
    """
    dest = Path(dest)
    _check_path(dest, source)
    made = _make_parents(dest)
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
                _into_place(new, dest, work / "old")
            finished = True
    finally:
        if not finished:
            for parent in made:
                with suppress(OSError):
                    parent.rmdir()


@contextmanager
def disk_errors(where: Path, needs: int) -> Iterator[None]:
    """Report what the system says about writing as a MachineError, with the space that is needed and free."""
    try:
        yield
    except OSError as error:
        free = shutil.disk_usage(_existing(where)).free
        is_full = needs > free or error.errno in _FULL
        space = f"needs {size_text(needs)}, has {size_text(free)}"
        fix = f"free some disk space: {space}" if is_full else "check its permissions"
        raise MachineError(f"cannot be written: {error}", where=where, fix=fix) from error


def check_destination(dest: Path, *, force: bool) -> None:
    """Look before the work starts; `new_folder` looks again, under its lock. Raises: UsageError."""
    _check_path(dest, None)
    _check_free(dest, force)


def _check_path(dest: Path, source: str | Path | None) -> None:
    """Raises: UsageError if nothing can be written at `dest`, whether or not something is there."""
    try:
        status = _status(dest)
    except (OSError, ValueError) as error:
        raise UsageError(f"the destination is no usable path: {error}", where=repr(str(dest))[:80], fix=_FIX) from None
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
    """Raises: UsageError if something is at `dest` that may not be replaced. Only the holder of the lock can know."""
    if _status(dest) is None:
        return
    if not force:
        raise UsageError("the destination exists", where=dest, fix=f"{_FIX}, or pass --force to replace it")
    if any(dest.iterdir()) and not (dest / "config.json").is_file():
        what = "--force replaces converted folders only, and this one has no config.json"
        raise UsageError(what, where=dest, fix=_FIX)


def check_space(dest: Path, needs: int) -> None:
    """Raises: MachineError "needs X, has Y" if the disk cannot hold `needs` bytes more."""
    free = shutil.disk_usage(_existing(dest)).free
    if needs > free:
        raise MachineError(
            f"not enough disk space: needs {size_text(needs)}, has {size_text(free)}",
            where=dest,
            fix="free some or choose another disk",
        )


def _status(path: Path) -> os.stat_result | None:
    """What is at `path` itself, links not followed. Raises OSError or ValueError for what can be no path."""
    try:
        return os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None


@contextmanager
def _work_folder(dest: Path) -> Iterator[Path]:
    """The locked, empty work folder of `dest`; gone afterwards, whatever happened."""
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
    """Clean up after a process that died beside us; leave what is in use or is not ours."""
    if not (work / "lock").is_file():
        return
    with suppress(OSError):  # it may be another user's
        lock = _lock(work, create=False)
        if lock is not None:
            _recover(work, work.parent / work.name[1 : -len(SUFFIX)])
            _remove(work, lock)


def _lock(work: Path, *, create: bool) -> int | None:
    """Lock a work folder. None if a living process has it (or, without `create`, if it has gone)."""
    while True:
        try:
            if create:
                with suppress(FileExistsError):  # not exist_ok, which looks again: another run may remove it meanwhile
                    work.mkdir()
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


def _recover(work: Path, dest: Path) -> None:
    """Put `old` back if nothing took its place, and remove what is left of `new` and `old`."""
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


def _into_place(new: Path, dest: Path, old: Path) -> None:
    """Rename `new` to `dest`. An old `dest` steps aside first and is removed last: one of the two always exists."""
    if os.path.lexists(dest):
        dest.rename(old)
    new.rename(dest)
    fd = os.open(dest.parent, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _make_parents(dest: Path) -> list[Path]:
    """Make the missing folders above `dest`; the ones made, innermost first."""
    missing = [p for p in dest.parents if not p.exists()]
    with disk_errors(dest, 0):
        dest.parent.mkdir(parents=True, exist_ok=True)
    return missing


def _existing(path: Path) -> Path:
    return next((p for p in (path, *path.parents) if p.exists()), Path.cwd())
