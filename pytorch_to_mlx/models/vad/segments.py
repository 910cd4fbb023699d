"""From the probabilities of chunks to stretches of speech, by Silero's rules.

Speech begins with a chunk at the threshold. It ends where the probability fell under the lower threshold and did not
come back for min_silence_duration_ms. Reference: silero-vad 6.2.3, utils_vad.py.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from ...errors import UsageError


@dataclass(frozen=True)
class VADOptions:
    """When speech starts and ends; names and defaults are Silero's.

    neg_threshold: speech ends under it; by default threshold - 0.15. min_speech_duration_ms: shorter speech is left
    out. max_speech_duration_s: longer speech is cut at its longest pause, or else where it gets too long.
    speech_pad_ms: added on both sides, or half of the silence between two stretches where that is shorter.
    min_silence_at_max_speech: milliseconds from which a pause may cut speech that is too long.
    Raises: UsageError for values out of range.
    """

    threshold: float = 0.5
    neg_threshold: float | None = None
    min_speech_duration_ms: float = 250
    max_speech_duration_s: float = math.inf
    min_silence_duration_ms: float = 100
    speech_pad_ms: float = 30
    min_silence_at_max_speech: float = 98

    def __post_init__(self) -> None:
        for name in ("threshold", "neg_threshold"):
            value = getattr(self, name)
            if value is not None and not 0 < value < 1:
                raise UsageError(f"{name} is {value}", fix="use a number between 0 and 1")
        for name in ("min_speech_duration_ms", "min_silence_duration_ms", "speech_pad_ms", "min_silence_at_max_speech"):
            if not 0 <= getattr(self, name) < math.inf:
                raise UsageError(f"{name} is {getattr(self, name)}", fix="use a number of milliseconds from 0 up")
        if not self.max_speech_duration_s > 0:
            raise UsageError(f"max_speech_duration_s is {self.max_speech_duration_s}", fix="use a number above 0")

    @property
    def lower(self) -> float:
        """Return the probability under which speech ends."""
        return max(self.threshold - 0.15, 0.01) if self.neg_threshold is None else self.neg_threshold


def speech_segments(
    probabilities: Iterable[float], n_samples: int, sample_rate: int, chunk: int, options: VADOptions
) -> list[tuple[int, int]]:
    """Return start and end of each stretch of speech, in samples. n_samples: of the recording; chunk: in samples."""
    rules = _Rules(sample_rate, chunk, options)
    for number, probability in enumerate(probabilities):
        rules.update(number * chunk, probability)
    return _pad(rules.finish(n_samples), n_samples, sample_rate * options.speech_pad_ms / 1000)


@dataclass
class _Rules:
    """The rules for a recording, updated chunk by chunk. Positions are in samples.

    start: of the current speech, None in silence; quiet: where it may have ended; pauses: the pauses in it; stretches:
    of speech so far.
    """

    sample_rate: int
    chunk: int
    options: VADOptions
    start: int | None = None
    quiet: int | None = None
    pauses: list[tuple[int, int]] = field(default_factory=list)
    stretches: list[tuple[int, int]] = field(default_factory=list)

    def samples(self, milliseconds: float) -> float:
        """Return a duration in samples."""
        return self.sample_rate * milliseconds / 1000

    def update(self, now: int, probability: float) -> None:
        """Apply the rules to the chunk that starts at `now`."""
        options = self.options
        loud = probability >= options.threshold
        if loud and self.quiet is not None:
            if now - self.quiet > self.samples(options.min_silence_at_max_speech):
                self.pauses.append((self.quiet, now))
            self.quiet = None
        if self.start is None:
            self.start = now if loud else None
            return
        if now - self.start > self._longest():
            if not self.pauses:
                self._end(now)
                return
            pause, speech = max(self.pauses, key=lambda span: span[1] - span[0])
            self._end(pause)
            self.start = speech
        if probability < options.lower:
            self.quiet = now if self.quiet is None else self.quiet
            if now - self.quiet >= self.samples(options.min_silence_duration_ms):
                long_enough = self.quiet - self.start > self.samples(options.min_speech_duration_ms)
                self._end(self.quiet, keep=long_enough)

    def finish(self, n_samples: int) -> list[tuple[int, int]]:
        """End the recording after n_samples; return the stretches of speech."""
        if self.start is not None and n_samples - self.start > self.samples(self.options.min_speech_duration_ms):
            self._end(n_samples)
        return self.stretches

    def _longest(self) -> float:
        """Return the length over which speech is cut."""
        options = self.options
        return self.sample_rate * options.max_speech_duration_s - self.chunk - 2 * self.samples(options.speech_pad_ms)

    def _end(self, at: int, *, keep: bool = True) -> None:
        """End the current speech, and keep it unless it is too short."""
        assert self.start is not None
        if keep:
            self.stretches.append((self.start, at))
        self.start, self.quiet, self.pauses = None, None, []


def _pad(stretches: list[tuple[int, int]], n_samples: int, pad: float) -> list[tuple[int, int]]:
    """Lengthen each stretch by `pad` on both sides; neighbours share a silence that is too short for both."""
    starts, ends = [start for start, _ in stretches], [end for _, end in stretches]
    if stretches:
        starts[0] = int(max(0, starts[0] - pad))
        ends[-1] = int(min(n_samples, ends[-1] + pad))
    for n in range(len(stretches) - 1):
        silence = stretches[n + 1][0] - stretches[n][1]
        if silence < 2 * pad:
            ends[n] += silence // 2
            starts[n + 1] -= silence // 2
        else:
            ends[n] = int(min(n_samples, ends[n] + pad))
            starts[n + 1] = int(max(0, starts[n + 1] - pad))
    return list(zip(starts, ends, strict=True))


@dataclass
class Boundaries:
    """The rules for a stream, updated chunk by chunk: where speech starts and ends, as soon as that is certain.

    speaking: whether speech has started and not ended; quiet: where it may have ended, in samples.
    """

    sample_rate: int
    options: VADOptions
    speaking: bool = False
    quiet: int | None = None

    def update(self, now: int, probability: float) -> tuple[Literal["start", "end"], int] | None:
        """Return the boundary and its position in samples if the chunk that starts at `now` decides one, else None."""
        pad = self.sample_rate * self.options.speech_pad_ms / 1000
        if probability >= self.options.threshold:
            self.quiet = None
            if not self.speaking:
                self.speaking = True
                return "start", int(max(0, now - pad))
        elif probability < self.options.lower and self.speaking:
            self.quiet = now if self.quiet is None else self.quiet
            if now - self.quiet >= self.sample_rate * self.options.min_silence_duration_ms / 1000:
                end, self.speaking, self.quiet = self.quiet, False, None
                return "end", int(end + pad)
        return None
