"""Measure a head on examples: each output's figures, with intervals by speaker."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import mlx.core as mx
import numpy as np

from . import metrics
from .cache import FeatureCache
from .config import Output
from .decode import greedy
from .examples import Example, batches
from .metrics import Interval
from .model import Head
from .pitch import decode_pitch
from .vocabulary import Vocabulary

MIN_WORDS = 200  # fewer are too few for an error rate

Counts = Callable[[np.ndarray], dict[str, float]]
"""From the places of clips to the figures of an output."""


@dataclass(frozen=True)
class Score:
    """The figures of one output. main: what training is judged by, higher is better."""

    output: str
    main: float
    figures: Mapping[str, Interval]
    n_clips: int
    notes: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    confusion: tuple[tuple[int, ...], ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the figures for JSON, value, low and high each; one that is not defined here is left out."""
        figures = {name: [x.value, x.low, x.high] for name, x in self.figures.items() if np.isfinite(x.value)}
        entry: dict[str, Any] = {"clips": self.n_clips, "figures": figures}
        if self.confusion:
            entry |= {"labels": list(self.labels), "confusion": [list(row) for row in self.confusion]}
        return {**entry, **({"notes": list(self.notes)} if self.notes else {})}


def answers(
    head: Head, examples: Sequence[Example], cache: FeatureCache, max_frames: int
) -> dict[str, list[np.ndarray]]:
    """Return the logits of each output and example, in the order of the examples, without padding."""
    results: dict[str, dict[str, np.ndarray]] = {output.name: {} for output in head.config.outputs}
    for batch in batches(examples, cache, max_frames):
        logits = head(mx.array(batch.features), mx.array(batch.lengths))
        mx.eval(logits)
        for output in head.config.outputs:
            rows = np.array(logits[output.name])
            for example, row, length in zip(batch.examples, rows, batch.lengths, strict=True):
                results[output.name][example.clip.id] = row if output.kind == "clip" else row[:length]
    return {name: [by_clip[example.clip.id] for example in examples] for name, by_clip in results.items()}


def evaluate(
    head: Head, examples: Sequence[Example], cache: FeatureCache, max_frames: int, *, n_draws: int = 1000
) -> list[Score]:
    """Return the figures of every output that has labels here. n_draws: of the bootstrap, 0 for figures alone."""
    logits = answers(head, examples, cache, max_frames)
    scores = []
    for output in head.config.outputs:
        rows = [row for row, example in enumerate(examples) if example.targets[output.name] is not None]
        if rows:
            labelled = [examples[row] for row in rows]
            scores.append(_score(output, labelled, [logits[output.name][row] for row in rows], n_draws))
    return scores


def main_score(scores: Sequence[Score]) -> float:
    """Return what training is judged by: the mean over outputs, higher is better; -1 without any."""
    values = [score.main for score in scores if np.isfinite(score.main)]
    return float(np.mean(values)) if values else -1.0


def _score(output: Output, examples: Sequence[Example], logits: Sequence[np.ndarray], n_draws: int) -> Score:
    targets = [example.targets[output.name] for example in examples]
    speakers = [example.clip.speaker or example.clip.id for example in examples]
    measure = {"ctc": _text, "pitch": _pitch, "frames": _classes, "clip": _classes}[output.kind]
    figures_of, details = measure(output, targets, logits)
    figures = metrics.bootstrap(figures_of, speakers, n_draws=n_draws)
    everything = {name: figure.value for name, figure in figures.items()}
    if output.kind == "ctc":
        main = 1 - everything["per" if output.unit == "phoneme" else "cer"]
    else:
        main = everything["raw_pitch_accuracy" if output.kind == "pitch" else "macro_f1"]
    return Score(output.name, main, figures, len(examples), **details)


def _text(output: Output, targets: Sequence[list[int]], logits: Sequence[np.ndarray]) -> tuple[Counts, dict[str, Any]]:
    vocabulary = Vocabulary(output.labels)
    pairs = [(target, greedy(row)) for target, row in zip(targets, logits, strict=True)]
    if output.unit == "phoneme":
        items = [[metrics.plain_phonemes(vocabulary.items(numbers)) for numbers in pair] for pair in pairs]
        phones = np.array([metrics.error_counts(*pair) for pair in items])
        return lambda places: {"per": metrics.error_rate(phones[places])}, {}
    texts = [[vocabulary.decode(numbers) for numbers in pair] for pair in pairs]
    letters = np.array([metrics.error_counts(*pair) for pair in texts])
    words = np.array([metrics.error_counts(*(text.split() for text in pair)) for pair in texts])
    n_words = int(words[:, 1].sum())
    notes = () if n_words >= MIN_WORDS else (f"{n_words} words are too few for an error rate",)

    def figures(places: np.ndarray) -> dict[str, float]:
        return {"cer": metrics.error_rate(letters[places]), "wer": metrics.error_rate(words[places])}

    return figures, {"notes": notes}


def _pitch(
    output: Output, targets: Sequence[np.ndarray], logits: Sequence[np.ndarray]
) -> tuple[Counts, dict[str, Any]]:
    rows = []
    for target, row in zip(targets, logits, strict=True):
        f0, voicing = decode_pitch(row)
        rows.append(metrics.pitch_counts(target, f0, voicing > 0.5))
    counts = np.array(rows)
    return lambda places: metrics.pitch_scores(counts[places]), {}


def _classes(output: Output, targets: Sequence[Any], logits: Sequence[np.ndarray]) -> tuple[Counts, dict[str, Any]]:
    """Measure classes of clips, or of frames, where each clip brings all its frames."""
    size = len(output.labels)
    known = [(np.atleast_1d(target), np.atleast_2d(row)) for target, row in zip(targets, logits, strict=True)]
    matrices = np.array([metrics.confusion(target, row.argmax(-1), size) for target, row in known])

    def figures(places: np.ndarray) -> dict[str, float]:
        matrix = matrices[places].sum(0)
        total = matrix.sum()
        figures = {
            "macro_f1": metrics.macro_f1(matrix),
            "balanced_accuracy": metrics.balanced_accuracy(matrix),
            "accuracy": float(np.trace(matrix) / total) if total else float("nan"),
            "largest_class": float(matrix.sum(1).max() / total) if total else float("nan"),
        }
        if size == 2:
            reference = np.concatenate([known[place][0] for place in places])
            difference = np.concatenate([known[place][1][:, 1] - known[place][1][:, 0] for place in places])
            figures["auc"] = metrics.roc_auc(reference[reference >= 0] == 1, difference[reference >= 0])
        return figures

    whole = matrices.sum(0)
    return figures, {"labels": output.labels, "confusion": tuple(tuple(map(int, row)) for row in whole)}
