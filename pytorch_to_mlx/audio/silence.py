"""Find silence in a recording and cut there, by pydub's rules: milliseconds, whole numbers, dB under full scale.

Source: pydub 0.25.1, silence.py and audio_segment.py, and audioop of Python 3.11, whose roundings this keeps.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from .pcm import whole_numbers

STEP_MS = 10


@dataclass(frozen=True)
class Pcm:
    """A recording as whole numbers of `bits` bits. samples: int [L, C]."""

    samples: np.ndarray
    rate: int
    bits: int

    @classmethod
    def silent(cls, ms: int, rate: int = 11025) -> "Pcm":
        """Return silence: mono, 16 bits."""
        return cls(np.zeros((int(rate * (ms / 1000.0)), 1), np.int32), rate, 16)

    @classmethod
    def of(cls, audio: np.ndarray, rate: int, bits: int) -> "Pcm":
        """Return samples in [-1, 1] as a recording. Shapes: audio float [L] or [L, C]."""
        return cls(whole_numbers(audio[:, None] if audio.ndim == 1 else audio, bits), rate, bits)

    @property
    def ms(self) -> int:
        """The length in milliseconds, rounded."""
        return round(1000 * (len(self.samples) / self.rate))

    def frames(self, ms: int) -> int:
        """Return the index of the frame at a time."""
        return int(ms * (self.rate / 1000.0))

    def cut(self, start_ms: int, end_ms: int) -> "Pcm":
        """Return what lies between two times; where the rounded length is longer than the recording, with zeros."""
        start, end = (self.frames(min(ms, self.ms)) for ms in (start_ms, end_ms))
        samples = self.samples[start:end]
        missing = max(0, end - start - len(samples))
        return replace(self, samples=np.pad(samples, ((0, missing), (0, 0))) if missing else samples)

    def __add__(self, other: "Pcm") -> "Pcm":
        """Join two recordings: the higher rate, the greater number of bits and of channels of both are the result's."""
        rate, bits = max(self.rate, other.rate), max(self.bits, other.bits)
        channels = max(self.samples.shape[1], other.samples.shape[1])
        parts = [part._as(channels, rate, bits).samples for part in (self, other)]
        return Pcm(np.concatenate(parts), rate, bits)

    def reversed(self) -> "Pcm":
        """Return the recording backwards."""
        return replace(self, samples=self.samples[::-1])

    def _as(self, channels: int, rate: int, bits: int) -> "Pcm":
        samples = np.broadcast_to(self.samples, (len(self.samples), channels))
        if rate != self.rate and len(samples):
            samples = interpolate(samples, self.rate, rate, self.bits)
        return Pcm(samples << (bits - self.bits), rate, bits)

    def to_float(self) -> np.ndarray:
        """Return the samples in [-1, 1], channels averaged. Shapes: -> float32 [L]."""
        audio = self.samples.astype(np.float32) / np.float32(2 ** (self.bits - 1))
        return audio.mean(axis=1, dtype=np.float32)


def interpolate(samples: np.ndarray, from_rate: int, to_rate: int, bits: int) -> np.ndarray:
    """Change the rate by straight lines between samples, as audioop.ratecv does.

    Shapes: samples int [L, C] -> int32 [L', C].
    """
    common = math.gcd(from_rate, to_rate)
    source, target = from_rate // common, to_rate // common
    output = np.arange((len(samples) - 1) * target // source + 1)
    after = -(-output * source // target)  # the sample at or behind each output
    weight = (after * target - output * source)[:, None].astype(np.float64)
    scaled = samples.astype(np.int64) << (32 - bits)
    before = np.where(after[:, None] > 0, scaled[after - 1], 0)
    values = (before * weight + scaled[after] * (float(target) - weight)) / target
    return (np.trunc(values).astype(np.int64) >> (32 - bits)).astype(np.int32)


def _levels(pcm: Pcm, starts_ms: Sequence[int], length_ms: int) -> np.ndarray:
    """Return the root mean square of all channels after each start, rounded down. Shapes: -> int64 [N]."""
    squares = np.square(pcm.samples.astype(np.float64)).sum(axis=1)
    sums = np.concatenate([[0.0], np.cumsum(squares)])  # exact for 16 bits up to 2 ** 53
    starts, ends = (
        np.array([pcm.frames(min(start + extra, pcm.ms)) for start in starts_ms], np.int64) for extra in (0, length_ms)
    )
    totals = sums[np.minimum(ends, len(squares))] - sums[np.minimum(starts, len(squares))]
    counts = np.maximum((ends - starts) * pcm.samples.shape[1], 1)
    return np.sqrt(totals / counts).astype(np.int64)


def find_silence(pcm: Pcm, *, min_ms: int, threshold_db: float) -> list[tuple[int, int]]:
    """Return the stretches of at least `min_ms` that are at or under a level, in milliseconds."""
    if pcm.ms < min_ms:
        return []
    last = pcm.ms - min_ms
    starts = [*range(0, last + 1, STEP_MS), *([last] if last % STEP_MS else [])]
    silent = _levels(pcm, starts, min_ms) <= 10 ** (threshold_db / 20) * 2 ** (pcm.bits - 1)
    stretches: list[tuple[int, int]] = []
    first = previous = None
    for start in (start for start, is_silent in zip(starts, silent, strict=True) if is_silent):
        if first is None or previous is None:
            first = start
        elif start != previous + STEP_MS and start > previous + min_ms:
            stretches.append((first, previous + min_ms))
            first = start
        previous = start
    return [*stretches, (first, previous + min_ms)] if first is not None and previous is not None else []


def split_on_silence(pcm: Pcm, *, min_ms: int, threshold_db: float, keep_ms: int) -> Iterator[Pcm]:
    """Yield what lies between silences, each with up to `keep_ms` of the silence around it; two share a shorter one."""
    silences = find_silence(pcm, min_ms=min_ms, threshold_db=threshold_db)
    if silences and silences[0] == (0, pcm.ms):
        return
    edges = [0, *(ms for silence in silences for ms in silence), pcm.ms]
    loud = list(zip(edges[::2], edges[1::2], strict=True))
    if silences and loud[-1][0] == pcm.ms:
        loud.pop()
    if silences and loud and loud[0] == (0, 0):
        loud.pop(0)
    ranges = [[start - keep_ms, end + keep_ms] for start, end in loud]
    for one, two in pairwise(ranges):
        if two[0] < one[1]:
            one[1] = two[0] = (one[1] + two[0]) // 2
    for start, end in ranges:
        yield pcm.cut(max(start, 0), min(end, pcm.ms))


def trim_silence(pcm: Pcm, *, threshold_db: float) -> Pcm:
    """Cut off the silence at both ends, in steps of 10 ms."""
    pcm = pcm.cut(_leading_silence(pcm, threshold_db), pcm.ms)
    trailing = _leading_silence(pcm.reversed(), threshold_db)
    return pcm.cut(0, pcm.ms - trailing) if trailing else pcm


def _leading_silence(pcm: Pcm, threshold_db: float) -> int:
    """Return where the silence at the beginning ends, in milliseconds."""
    starts = range(0, pcm.ms, STEP_MS)
    levels = _levels(pcm, starts, STEP_MS) / 2 ** (pcm.bits - 1)
    with np.errstate(divide="ignore"):
        loud = np.flatnonzero(~(20 * np.log10(levels) < threshold_db))
    return starts[loud[0]] if len(loud) else pcm.ms
