"""What the command `translate` of every translator does: a text, a stream of it, or whole files that can be resumed."""

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, Protocol

from ..errors import FormatError, MachineError, UsageError
from ..outputs import check_destination, is_stdout, write_output
from ..progress import note, track
from ..tasks import Translation
from ..text.read import MAX_CHARACTERS, choose_text, read_text
from ..text.srt import read_srt

CHUNK_LINES = 32  # that are translated together, and lost if the run stops
CHUNK_CHARACTERS = 8000
PARTIAL = ".partial"  # ends the name of the file that holds what is translated so far


class TextTranslator(Protocol):
    """What a translator's pipeline offers to the command."""

    def translate(self, text: Any, /, **options: Any) -> Any: ...
    def stream(self, text: str, /, **options: Any) -> Iterator[str]: ...


@dataclass(frozen=True)
class Streamed:
    """A translation that is shown while it is made."""

    text: Iterator[str]

    def pieces(self) -> Iterator[str]:
        """Yield the parts of the text as they are ready."""
        yield from self.text

    def to_dict(self) -> dict[str, Any]:
        """Return the whole text, for JSON."""
        return {"text": "".join(self.text)}


@dataclass(frozen=True)
class TranslatedFile:
    """A file that was translated. resumed: parts that an earlier run had done."""

    output: str
    n_parts: int
    resumed: int
    repeats: bool
    is_complete: bool
    processing_s: float


def run_translate(
    load: Callable[[], TextTranslator],
    what: str | None,
    text: str | None,
    *,
    file: Path | None,
    output: Path | None,
    stream: bool,
    force: bool,
    model: str,
    options: dict[str, Any],
) -> Translation | Streamed | TranslatedFile:
    """Do what the command asks for: everything that can be wrong is found before the model is loaded.

    Raises: UsageError for a text and a file together, none of both, or a file that exists already.
    """
    if file is None or str(file) == "-":
        text = choose_text(what, text, file)
    elif what is not None or text is not None:
        raise UsageError("give a text or --file, not both")
    if file is not None and output is None:
        raise UsageError("--file needs --output", fix="name the file to write, or - for stdout")
    if stream and (output is not None or options.get("n_best", 1) > 1):
        raise UsageError("--stream prints one translation", fix="leave out --output and --n-best")
    content = read_text(text, file, newline="")
    if content is None:
        raise UsageError("there is no text to translate", fix='give it with --text "…", --file, or through a pipe')
    if len(content) > MAX_CHARACTERS:
        raise UsageError(f"more than {MAX_CHARACTERS} characters", fix="translate it in several files")
    if output is not None:
        check_destination(output)
        if not is_stdout(output) and output.exists() and not force:
            raise UsageError("exists already", where=output, fix="add --force to replace it")
    if output is not None and file is not None:
        return translate_file(load, content, file, output, model=model, options=options)
    pipeline = load()
    if stream:
        return Streamed(pipeline.stream(content, **options))
    result = pipeline.translate(content, **options)
    if output is not None:
        write_output(output, result.text)
    return result


def translate_file(
    load: Callable[[], TextTranslator],
    content: str,
    file: Path,
    output: Path,
    *,
    model: str,
    options: dict[str, Any],
) -> TranslatedFile:
    """Translate a file line by line, or the texts of an .srt, into another one; it appears whole.

    Until then what is done lies beside it in OUTPUT.partial, from where another run with the same file and options goes
    on. Raises: FormatError for an .srt that is none.
    """
    start = perf_counter()
    is_srt = file.suffix.lower() == ".srt"
    cues = read_srt(content.replace("\r\n", "\n"), where=str(file)) if is_srt else []
    parts = [cue.text() for cue in cues] if is_srt else content.splitlines(keepends=True)
    journal = Journal(output, {"model": model, "options": options, "sha256": _digest(content)})
    journal.read()
    n_resumed = journal.n_done
    if n_resumed:
        note(f"going on after {n_resumed} of {len(parts)} parts")
    chunks = list(_chunks(parts, n_resumed))
    if chunks:
        pipeline = load()
        with journal:
            for chunk in track(chunks, f"translating {file.name}", len(chunks)):
                texts = [parts[n] for n in chunk]
                texts = texts if is_srt else ["".join(texts)]
                journal.add(chunk[-1] + 1, pipeline.translate(texts, **options))
    if is_srt:
        pairs = zip(cues, journal.texts, strict=True)
        filled = "".join(cue.filled(text) if cue.lines else cue.head + cue.end for cue, text in pairs)
        write_output(output, filled.replace("\n", "\r\n") if "\r\n" in content else filled)
    else:
        write_output(output, "".join(journal.texts))
    journal.remove()
    seconds = round(perf_counter() - start, 3)
    return TranslatedFile(str(output), len(parts), n_resumed, journal.repeats, journal.is_complete, seconds)


def _digest(content: str) -> str:
    return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()


def _chunks(parts: Sequence[str], start: int) -> Iterator[list[int]]:
    """Yield the numbers of parts to translate together."""
    chunk: list[int] = []
    n_characters = 0
    for n in range(start, len(parts)):
        chunk.append(n)
        n_characters += len(parts[n])
        if len(chunk) == CHUNK_LINES or n_characters > CHUNK_CHARACTERS:
            yield chunk
            chunk, n_characters = [], 0
    if chunk:
        yield chunk


class Journal:
    """OUTPUT.partial: a line that says of what, and one for each chunk that is done.

    about: the input and all that decides the result; another run goes on only if it is the same. done: the texts of
    the chunks so far, by the number of the part after them.
    """

    def __init__(self, output: Path, about: dict[str, Any]) -> None:
        self.path = None if is_stdout(output) else output.with_name(output.name + PARTIAL)
        self.about = json.loads(json.dumps(about, default=str))
        self.texts: list[str] = []
        self.n_done = 0
        self.repeats, self.is_complete = False, True
        self._file: Any = None

    def read(self) -> None:
        """Take over what another run with the same input and options has done."""
        if self.path is None or not self.path.is_file():
            return
        lines = self.path.read_bytes().split(b"\n")[:-1]  # behind the last line break a killed run left half a line
        try:
            entries = [json.loads(line) for line in lines]
            if entries and entries[0] == self.about:
                for entry in entries[1:]:
                    self._take(int(entry["n_done"]), entry["texts"], entry["repeats"], entry["is_complete"])
        except (ValueError, KeyError, TypeError):
            raise FormatError("not a file that this command wrote", where=self.path, fix="remove it") from None

    def _take(self, n_done: int, texts: list[str], repeats: bool, is_complete: bool) -> None:
        self.n_done = n_done
        self.texts += texts
        self.repeats, self.is_complete = self.repeats or repeats, self.is_complete and is_complete

    def __enter__(self) -> "Journal":
        """Write what is known, and stay open for more. Raises: MachineError if the disk refuses."""
        if self.path is not None:
            try:
                self.path.unlink(missing_ok=True)
                self._file = os.fdopen(os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666), "w")
            except OSError as error:
                raise MachineError(f"cannot be written: {error.strerror}", where=self.path) from None
            self._write(self.about)
            if self.n_done:
                self._write(self._entry(self.n_done, self.texts, self.repeats, self.is_complete))
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def add(self, n_done: int, results: Sequence[Translation]) -> None:
        """Take the results of a chunk. n_done: parts that are done with it."""
        texts, repeats = [result.text for result in results], any(result.repeats for result in results)
        is_complete = all(result.is_complete for result in results)
        self._take(n_done, texts, repeats, is_complete)
        if self._file is not None:
            self._write(self._entry(n_done, texts, repeats, is_complete))

    def _entry(self, n_done: int, texts: list[str], repeats: bool, is_complete: bool) -> dict[str, Any]:
        return {"n_done": n_done, "texts": texts, "repeats": repeats, "is_complete": is_complete}

    def _write(self, content: dict[str, Any]) -> None:
        try:
            self._file.write(json.dumps(content) + "\n")
            self._file.flush()
        except OSError as error:
            raise MachineError(f"writing failed: {error.strerror}", where=self.path) from None

    def remove(self) -> None:
        """Remove the file: the output is there."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)
