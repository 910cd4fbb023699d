"""Say stretches of a recording anew: which frames are kept, and how the result goes back into the recording.

Source: f5-tts 1.1.22, infer/speech_edit.py.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import mlx.core as mx
import numpy as np

from ...audio.load import Audio
from ...audio.resample import sinc_resample
from ...errors import UsageError
from .config import HOP_LENGTH, SAMPLE_RATE
from .voice import read_recording

FADE_S = 0.01  # between the recording and what is said anew
MAX_SPANS = 1000


@dataclass(frozen=True)
class Span:
    """A stretch of a recording, in seconds, that is said anew. new_s: how long it then is; by default as long."""

    start_s: float
    end_s: float
    new_s: float | None = None

    @classmethod
    def parse(cls, text: str) -> "Span":
        """Read START-END or START-END:NEW, such as 1.42-2.44:1.2. Raises: UsageError for anything else."""
        times, colon, new = text.partition(":")
        start, _, end = times.partition("-")
        try:
            return cls(float(start), float(end), float(new) if colon else None)
        except ValueError:
            raise UsageError(f"'{text}' is not a span", fix="give START-END in seconds, or START-END:NEW") from None


@dataclass(frozen=True)
class Recording:
    """A whole recording at SAMPLE_RATE, loud enough for the model. loudness: what it was, over what it is."""

    samples: np.ndarray
    loudness: float


@dataclass(frozen=True)
class EditPlan:
    """Frames of the recording in order: (start, end) of what is kept, and how many new ones follow it."""

    kept: tuple[tuple[int, int], ...]
    new: tuple[int, ...]

    @classmethod
    def of(cls, spans: Sequence[Span], n_frames: int) -> "EditPlan":
        """Return the plan for spans in order. n_frames: of the recording's mel. Raises: UsageError for other spans."""
        if not 1 <= len(spans) <= MAX_SPANS:
            raise UsageError(f"{len(spans)} spans; give 1 to {MAX_SPANS}")
        kept, new, position = [], [], 0
        total_s = (n_frames - 1) * HOP_LENGTH / SAMPLE_RATE
        for span in sorted(spans, key=lambda span: span.start_s):
            new_s = span.end_s - span.start_s if span.new_s is None else span.new_s
            if not all(map(math.isfinite, (span.start_s, span.end_s, new_s))) or not 0 < new_s <= 600:
                raise UsageError(f"a span of {span.start_s:g} to {span.end_s:g} s cannot last {new_s:g} s")
            start, end, length = (_frame(seconds) for seconds in (span.start_s, span.end_s, new_s))
            if not position <= start <= end <= n_frames:
                raise UsageError(
                    f"the span {span.start_s:g} to {span.end_s:g} s overlaps another or lies outside the recording",
                    fix=f"the recording lasts {total_s:.2f} s",
                )
            kept.append((position, start))
            new.append(length)
            position = end
        return cls((*kept, (position, n_frames)), (*new, 0))

    def condition(self, mel: mx.array) -> tuple[mx.array, list[bool]]:
        """Return the mel with zeros where it is new, and which frames are kept. Shapes: [T, M] -> [T', M], [T']."""
        parts: list[mx.array] = []
        keep: list[bool] = []
        for (start, end), length in zip(self.kept, self.new, strict=True):
            parts += [mel[start:end], mx.zeros((length, mel.shape[1]))]
            keep += [True] * (end - start) + [False] * length
        return mx.concatenate(parts), keep


def _frame(seconds: float) -> int:
    return round(seconds * SAMPLE_RATE / HOP_LENGTH)


def edited_recording(audio: Audio, target_rms: float) -> Recording:
    """Read a recording that is edited as a whole. Raises: UsageError for silence, FormatError for other than audio."""
    pcm = read_recording(audio)
    samples = pcm.to_float()
    rms = float(np.sqrt(np.mean(np.square(samples)))) if len(samples) else 0.0
    if rms == 0 or len(samples) * SAMPLE_RATE <= 513 * pcm.rate:
        raise UsageError("the recording is silent" if rms == 0 else "the recording is too short to edit")
    if rms < target_rms:
        samples = samples * np.float32(target_rms) / np.float32(rms)
    return Recording(sinc_resample(samples, pcm.rate, SAMPLE_RATE), min(1.0, rms / target_rms))


def blend(plan: EditPlan, edited: np.ndarray, recording: np.ndarray) -> np.ndarray:
    """Return the recording with only the new stretches of `edited` in it, faded in and out.

    Shapes: edited [L], of the frames of the plan; recording [L'] -> float32 [L' + what the stretches add].
    """
    n_fade = int(FADE_S * SAMPLE_RATE)
    result = edited.copy()
    share = np.zeros(len(edited), np.float32)  # of the recording
    position = 0
    for i, ((start, end), length) in enumerate(zip(plan.kept, plan.new, strict=True)):
        is_last = i == len(plan.kept) - 1
        first, n = position * HOP_LENGTH, (end - start) * HOP_LENGTH
        source = recording[start * HOP_LENGTH :][: None if is_last else n]
        n = min(len(source), len(edited) - first)
        result[first : first + n] = source[:n]
        share[first : first + n] = 1
        ramp = np.linspace(0, 1, min(n_fade, n // 2), dtype=np.float32)
        if i > 0 and len(ramp):
            share[first : first + len(ramp)] = ramp
        if not is_last and len(ramp):
            share[first + n - len(ramp) : first + n] = ramp[::-1]
        if is_last:
            result, share, edited = (array[: first + n] for array in (result, share, edited))
        position += end - start + length
    return result * share + edited * (1 - share)
