"""A trained head on a recording: text, phonemes, pitch, classes over time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import mlx.core as mx
import numpy as np

from .config import Output
from .decode import beam_search, greedy
from .features import FRAME_S, MIN_S, Trunk
from .model import Head
from .pitch import decode_pitch
from .vocabulary import Vocabulary


@dataclass(frozen=True)
class Answer:
    """What one output says of a stretch of a recording. value: text, a class, or F0 in Hz (None where unvoiced)."""

    output: str
    start_s: float
    end_s: float
    value: Any
    probability: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the answer for JSON."""
        entry = {"output": self.output, "start_s": round(self.start_s, 3), "end_s": round(self.end_s, 3)}
        probability = {} if self.probability is None else {"probability": round(self.probability, 4)}
        return {**entry, "value": self.value, **probability}

    def line(self) -> str:
        """Return the answer as it is printed."""
        value = f"{self.value:.1f} Hz" if isinstance(self.value, float) else self.value
        certainty = "" if self.probability is None else f"  ({self.probability:.2f})"
        return f"[{self.start_s:8.2f} – {self.end_s:8.2f} s] {self.output}: {value}{certainty}"


def apply_heads(heads: Sequence[Head], trunk: Trunk, samples: np.ndarray, *, beam_size: int = 1) -> Iterator[Answer]:
    """Yield the answers on a recording, window by window; the trunk runs once for all heads.

    beam_size: of CTC; 1 takes the likeliest path. A rest under 0.1 s is left out.
    Shapes: samples [L] at the trunk's rate.
    """
    layers = sorted({layer for head in heads for layer in head.config.layers})
    size = round(trunk.max_s * trunk.sample_rate)
    for start in range(0, len(samples), size):
        window = samples[start : start + size]
        if len(window) < MIN_S * trunk.sample_rate:
            return
        features = trunk.encode(window, layers).astype(np.float16)  # as the cache has them
        start_s, end_s = start / trunk.sample_rate, (start + len(window)) / trunk.sample_rate
        for head in heads:
            own = features[:, [layers.index(layer) for layer in head.config.layers]]
            logits = head(mx.array(own)[None], mx.array([len(own)]))
            for output in head.config.outputs:
                row = np.array(logits[output.name][0].astype(mx.float32))
                yield from _answers(output, row.astype(np.float64), start_s, end_s, beam_size)


def _answers(output: Output, logits: np.ndarray, start_s: float, end_s: float, beam_size: int) -> Iterator[Answer]:
    if output.kind == "pitch":
        f0, voicing = decode_pitch(logits)
        for frame, (hz, probability) in enumerate(zip(f0.tolist(), voicing.tolist(), strict=True)):
            start = start_s + frame * FRAME_S
            yield Answer(output.name, start, start + FRAME_S, hz if probability > 0.5 else None, probability)
        return
    shifted = logits - logits.max(-1, keepdims=True)
    log_probs = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    if output.kind == "ctc":
        labels = greedy(logits) if beam_size == 1 else beam_search(log_probs, beam_size=beam_size)[0][0]
        items = Vocabulary(output.labels).items(labels)
        yield Answer(output.name, start_s, end_s, (" " if output.unit == "phoneme" else "").join(items).strip())
    elif output.kind == "clip":
        best = int(log_probs.argmax())
        yield Answer(output.name, start_s, end_s, output.labels[best], float(np.exp(log_probs[best])))
    else:
        yield from _spans(output, log_probs, start_s, end_s)


def _spans(output: Output, log_probs: np.ndarray, start_s: float, end_s: float) -> Iterator[Answer]:
    """Yield stretches of frames with one likeliest class, with its mean probability."""
    classes = log_probs.argmax(-1)
    edges = [0, *(np.flatnonzero(np.diff(classes)) + 1).tolist(), len(classes)]
    for first, last in pairwise(edges):
        best = int(classes[first])
        end = min(start_s + last * FRAME_S, end_s)
        probability = float(np.exp(log_probs[first:last, best]).mean())
        yield Answer(output.name, start_s + first * FRAME_S, end, output.labels[best], probability)
