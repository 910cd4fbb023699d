"""Deliver synthesized speech while it is being made, and report on it: what the text-to-speech commands share.

Importing this is cheap: the commands import it to say what they return, and `--help` imports the commands.
"""

import os
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import MISSING, dataclass, field, fields, replace
from pathlib import Path
from time import perf_counter
from typing import Any

from ..errors import FormatError, MachineError, UsageError
from ..outputs import check_destination, is_stdout
from ..progress import note, track
from ..tasks import Segment, Speech, Word


@dataclass
class Totals:
    """What the delivered pieces add up to.

    first_audio_at: perf_counter() at the first samples. segments: the text of each piece, with its times.
    """

    sample_rate: int
    n_samples: int = 0
    processing_s: float = 0.0
    first_audio_at: float = 0.0
    phonemes: list[str] = field(default_factory=list)
    words: list[Word] = field(default_factory=list)
    segments: list[Segment] = field(default_factory=list)

    def add(self, piece: Speech) -> None:
        """Count one more piece; one without text is the rest of the piece before it."""
        if not self.n_samples and len(piece.audio):
            self.first_audio_at = perf_counter()
        start_s = self.n_samples / self.sample_rate
        self.n_samples += len(piece.audio)
        end_s = self.n_samples / self.sample_rate
        if piece.text:
            self.segments.append(Segment(piece.text, start_s, end_s))
        elif self.segments:
            self.segments[-1] = replace(self.segments[-1], end_s=end_s)
        self.processing_s += piece.processing_s
        self.phonemes += [piece.phonemes] if piece.phonemes else []
        self.words += piece.words


@dataclass(frozen=True, kw_only=True)
class Synthesis:
    """What a text-to-speech command reports. Fields with a default are None where a family does not report them.

    path: None if the speech was only played. first_audio_ms: from the text to the first samples, the model being
    loaded; first_audio_parts: how many seconds each part of the model took of that. seconds: of each part in all.
    """

    path: Path | None
    duration_s: float
    real_time_factor: float
    first_audio_ms: float
    load_s: float
    model: str
    voice: str | None = None
    mode: str | None = None
    sample_rate: int
    phonemes: str | None = None
    words: tuple[Word, ...] | None = None
    seconds: Mapping[str, float] | None = None
    first_audio_parts: Mapping[str, float] | None = None

    @classmethod
    def of(cls, totals: Totals, *, start: float, loaded: float, **others: Any) -> "Synthesis":
        """Return the report on delivered speech. start, loaded: perf_counter() before and after loading the model.

        others: the fields that do not follow from these: path, model, and what the family reports.
        """
        duration_s = totals.n_samples / totals.sample_rate
        return cls(
            duration_s=duration_s,
            real_time_factor=totals.processing_s / duration_s,
            first_audio_ms=1000 * (totals.first_audio_at - loaded),
            load_s=loaded - start,
            sample_rate=totals.sample_rate,
            **others,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the fields by name, without those that the family does not report."""
        values = ((f, getattr(self, f.name)) for f in fields(self))
        return {f.name: value for f, value in values if value is not None or f.default is MISSING}

    def brief(self) -> dict[str, Any]:
        """Return what is printed: all but the phonemes, which of a book fill the screen."""
        return {name: value for name, value in self.to_dict().items() if name != "phonemes"}


def destination(output: Path | None, format: str | None, play: bool) -> tuple[Path | None, str | None]:
    """Return the file to write and its format: speech.wav unless a file is named or the speech is only played.

    The file - is stdout. A device or a pipe whose name has no extension gets WAV.
    Raises: UsageError for an unknown format, and what outputs.check_destination raises.
    """
    from .wav import format_of

    if output is None and not play:
        output = Path("speech.wav")
    if output is None:
        return None, format
    output = Path(output)
    if check_destination(output).direct and not output.suffix:
        format = format or "wav"
    if is_stdout(output) and os.isatty(1):
        raise UsageError("audio is not written to a terminal", fix="send it to a program: --output - | aplay")
    return output, format_of(output, format)


def deliver(
    pieces: Iterable[Speech],
    sample_rate: int,
    *,
    output: Path | None,
    format: str | None,
    play: bool,
    n_pieces: int | None = None,
    shows_progress: bool = True,
) -> Totals:
    """Write and play pieces of speech as they come. n_pieces: how many, for the progress bar, where that is known.

    shows_progress: False where what makes the pieces shows it itself.

    Whoever ends the run, the user or a full disk, the finished pieces are a file that plays, and a note counts them.
    Raises: FormatError if there is no audio, and what audio.deliver raises; then no file is written.
    """
    from .deliver import open_sinks

    totals = Totals(sample_rate)
    n_spoken = 0
    try:
        with (
            closing(track(pieces, "speaking", n_pieces) if shows_progress else (p for p in pieces)) as tracked,
            open_sinks(sample_rate, output=output, format=format, play=play, keep_partial=True) as send,
        ):
            for piece in tracked:
                totals.add(piece)
                send(piece.audio)
                n_spoken += 1
            if not totals.n_samples:
                raise FormatError("the model produced no audio", fix="try another --seed, or more text")
    except (KeyboardInterrupt, SystemExit, MachineError):
        of_all = f" of {n_pieces}" if n_pieces is not None else ""
        place = f"; '{output}' holds them" if n_spoken and output is not None and output.is_file() else ""
        note(f"interrupted, {n_spoken}{of_all} pieces spoken{place}")
        raise
    return totals
