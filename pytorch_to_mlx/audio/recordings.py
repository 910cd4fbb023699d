"""Several recordings in one run: wrong names are found first, and each recording is delivered when it is done."""

import os
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import Any

from ..errors import MachineError, PortError, UsageError
from ..progress import note

Lines = Generator[str, None, dict[str, Any]]


def check_inputs(audio: Sequence[str]) -> None:
    """Check that every recording can be opened, before anything is loaded.

    Raises: UsageError that lists all missing files, or for stdin given twice; MachineError for files without
    permission.
    """
    if audio.count("-") > 1:
        raise UsageError("stdin (-) is given more than once", fix="it can be read once")
    paths = [Path(name) for name in audio if name != "-"]
    if missing := [path for path in paths if not path.exists()]:
        _refuse(UsageError, missing, "there is no such file", "files do not exist")
    if folders := [path for path in paths if path.is_dir()]:
        _refuse(UsageError, folders, "is a folder, not a recording", "recordings are folders")
    if closed := [path for path in paths if not os.access(path, os.R_OK)]:
        _refuse(MachineError, closed, "there is no permission to read it", "files cannot be read: no permission")


def check_destinations(
    audio: Sequence[str], output_dir: Path, extensions: Sequence[str], *, force: bool
) -> dict[str, list[Path]]:
    """Return the files of each recording, and make the folder.

    Raises: UsageError where two recordings would write one file, where a file exists and `force` is not given, and
    where the folder is a file; MachineError for a folder that cannot be made or written to.
    """
    destinations: dict[str, list[Path]] = {}
    names: dict[str, str] = {}  # stem as file systems that ignore case see it -> recording
    for name in audio:
        stem = "stdin" if name == "-" else Path(name).stem
        if stem.casefold() in names:
            raise UsageError(
                f"'{names[stem.casefold()]}' and '{name}' would both be written to {output_dir / stem}.{extensions[0]}",
                fix="rename one, or write them into two folders",
            )
        names[stem.casefold()] = name
        destinations[name] = [output_dir / f"{stem}.{extension}" for extension in extensions]
    if output_dir.exists() and not output_dir.is_dir():
        raise UsageError("is not a folder", where=output_dir, fix="choose another folder")
    existing = [path for paths in destinations.values() for path in paths if os.path.lexists(path)]
    if existing and not force:
        _refuse(UsageError, existing, "exists already", "files exist already", fix="add --force to replace it")
    try:
        output_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MachineError(f"cannot be made: {error.strerror}", where=output_dir) from None
    if not os.access(output_dir, os.W_OK | os.X_OK):
        raise MachineError("there is no permission to write there", where=output_dir)
    return destinations


def _refuse(kind: type[PortError], paths: Sequence[Path], one: str, several: str, *, fix: str | None = None) -> None:
    if len(paths) == 1:
        raise kind(one, where=paths[0], fix=fix)
    raise kind(f"{len(paths)} {several}", fix=fix, details=map(str, paths))


def read_input(name: str) -> str | bytes:
    """Return the path of a recording, or for - the bytes of stdin."""
    return sys.stdin.buffer.read() if name == "-" else name


class Recordings:
    """What a command on recordings returns: the work is done while `lines` or `to_dict` is read.

    work: yields the lines of one recording as they are ready and returns its entry for JSON; its second argument says
    that the lines are printed. A recording that fails is reported, and the rest goes on; `check` raises at the end.
    """

    def __init__(self, audio: Sequence[str], work: Callable[[str, bool], Lines]) -> None:
        self._n_recordings, self._waiting, self._work = len(audio), iter(audio), work
        self._entries: list[dict[str, Any]] = []
        self._failures: list[PortError] = []

    def to_dict(self) -> list[dict[str, Any]]:
        """Return the entries, for JSON; one that failed has an `error`."""
        for _ in self._rest(printed=False):
            pass
        return self._entries

    def lines(self) -> Iterator[str]:
        """Yield the text that is printed, as soon as it is ready: results, or the files written."""
        yield from self._rest(printed=True)

    def check(self) -> "Recordings":
        """Return self. Raises: an error of the first failure's kind if a recording failed."""
        if self._failures:
            what = f"{len(self._failures)} of {self._n_recordings} recordings failed"
            raise type(self._failures[0])(what, details=[failure.args[0] for failure in self._failures])
        return self

    def _rest(self, *, printed: bool) -> Iterator[str]:
        for name in self._waiting:
            try:
                self._entries.append((yield from self._work(name, printed)))
            except PortError as error:
                if self._n_recordings == 1:
                    raise
                note(f"error: {error}" if name in str(error) else f"error: {name}: {error}")
                self._failures.append(_failure(error, f"{name}: {error.what}"))
                self._entries.append({"audio": name, "error": str(error)})


def _failure(error: PortError, text: str) -> PortError:
    """Return an error of one of the plain kinds, which take a text alone, with the code of `error`."""
    kind = next(kind for kind in type(error).__mro__ if "exit_code" in vars(kind))
    return kind(text)
