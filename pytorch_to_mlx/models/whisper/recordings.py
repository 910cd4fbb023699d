"""Several recordings in one run: wrong names are found first, and each recording is delivered when it is done."""

import os
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ...errors import MachineError, PortError, UsageError
from ...progress import note
from ...tasks import Segment, Word
from ...text.subtitles import timestamp

EXTENSIONS = ("txt", "vtt", "srt", "tsv", "json")
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
                fix="rename one, or transcribe them into two folders",
            )
        names[stem.casefold()] = name
        destinations[name] = [output_dir / f"{stem}.{extension}" for extension in extensions]
    if output_dir.exists() and not output_dir.is_dir():
        raise UsageError("is not a folder", where=output_dir, fix="choose another --output-dir")
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


class Transcripts:
    """What `transcribe` returns: the recordings are transcribed while `lines` or `to_dict` is read.

    transcribe: yields the lines of one recording as they are ready and returns its entry for JSON; its second argument
    says that the lines are printed. A recording that fails is reported, and the rest goes on; `check` raises at the
    end.
    """

    def __init__(self, audio: Sequence[str], transcribe: Callable[[str, bool], Lines]) -> None:
        self._n_recordings, self._waiting, self._transcribe = len(audio), iter(audio), transcribe
        self._entries: list[dict[str, Any]] = []
        self._failures: list[PortError] = []

    def to_dict(self) -> list[dict[str, Any]]:
        """Return the entries, for JSON; one that failed has an `error`."""
        for _ in self._rest(printed=False):
            pass
        return self._entries

    def lines(self) -> Iterator[str]:
        """Yield the text that is printed, as soon as it is ready: transcripts, or the files written."""
        yield from self._rest(printed=True)

    def check(self) -> "Transcripts":
        """Return self. Raises: an error of the first failure's kind if a recording failed."""
        if self._failures:
            what = f"{len(self._failures)} of {self._n_recordings} recordings could not be transcribed"
            raise type(self._failures[0])(what, details=[failure.args[0] for failure in self._failures])
        return self

    def _rest(self, *, printed: bool) -> Iterator[str]:
        for name in self._waiting:
            try:
                self._entries.append((yield from self._transcribe(name, printed)))
            except PortError as error:
                if self._n_recordings == 1:
                    raise
                note(f"error: {error}" if name in str(error) else f"error: {name}: {error}")
                self._failures.append(_failure(error, f"{name}: {error.what}"))
                self._entries.append({"audio": name, "error": str(error)})


def segment_lines(segment: Segment, *, timed: bool, words: bool) -> Iterator[str]:
    """Yield a segment as it is printed, with its times if `timed`, and a line for each of its words if `words`."""
    text = segment.text.strip()
    yield f"{_times(segment)} {text}" if timed else text
    if words:
        yield from word_lines(segment.words)


def word_lines(words: Iterable[Word]) -> Iterator[str]:
    """Yield a line for each word: its times and its text."""
    yield from (f"  {_times(word)} {word.text.strip()}" for word in words)


def _times(stretch: Segment | Word) -> str:
    start, end = (timestamp(time, comma=False, hours=False) for time in (stretch.start_s, stretch.end_s))
    return f"[{start} --> {end}]"


def _failure(error: PortError, text: str) -> PortError:
    """Return an error of one of the plain kinds, which take a text alone, with the code of `error`."""
    kind = next(kind for kind in type(error).__mro__ if "exit_code" in vars(kind))
    return kind(text)
