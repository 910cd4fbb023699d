"""How good answers are: error rates, pitch, classes; each with an interval by speaker."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..text.edits import edit_distance

PITCH_TOLERANCE_CENTS = 50.0
GROSS_ERROR = 0.2
STRESS_AND_LENGTH = frozenset("ˈˌːˑ")


@dataclass(frozen=True)
class Interval:
    """A figure, and the ends of its 95 % interval over speakers (over clips where there is one speaker)."""

    value: float
    low: float
    high: float
    n_groups: int


def bootstrap(
    statistic: Callable[[np.ndarray], Mapping[str, float]],
    groups: Sequence[Hashable],
    *,
    n_draws: int = 1000,
    seed: int = 0,
) -> dict[str, Interval]:
    """Return the figures of all items, and their intervals over groups drawn with replacement.

    statistic: takes the places of items. groups: the speaker of each item; if all are one, each item is a group.
    A draw in which a figure is not defined (NaN) is left out of it. Without draws the ends are the figure.
    Source: Efron & Tibshirani 1993, "An Introduction to the Bootstrap", section 13.3 (percentiles).
    """
    names = list(dict.fromkeys(groups))
    if len(names) == 1:
        groups, names = list(range(len(groups))), list(range(len(groups)))
    places: dict[Hashable, list[int]] = {name: [] for name in names}
    for place, group in enumerate(groups):
        places[group].append(place)
    arrays = [np.array(places[name], int) for name in names]
    random = np.random.default_rng(seed)
    figures = statistic(np.arange(len(groups)))
    draws: list[Mapping[str, float]] = []
    for _ in range(n_draws):
        chosen = random.integers(0, len(arrays), len(arrays))
        draws.append(statistic(np.concatenate([arrays[place] for place in chosen])))
    intervals = {}
    for name, value in figures.items():
        defined = [draw[name] for draw in draws if np.isfinite(draw[name])]
        low, high = np.percentile(defined, [2.5, 97.5]) if defined else (value, value)
        intervals[name] = Interval(value, float(low), float(high), len(names))
    return intervals


def error_counts(reference: Sequence[Hashable], answer: Sequence[Hashable]) -> tuple[int, int]:
    """Return the edits that turn an answer into the reference, and the length of the reference."""
    return edit_distance(answer, reference), len(reference)


def error_rate(counts: np.ndarray) -> float:
    """Return the sum of edits over the sum of lengths: CER of characters, WER of words, PER of phonemes.

    Shapes: counts [N, 2], as `error_counts` gives them. NaN where the references are empty.
    """
    edits, length = np.asarray(counts).reshape(-1, 2).sum(0)
    return float(edits / length) if length else float("nan")


def plain_phonemes(phonemes: Sequence[str]) -> list[str]:
    """Return phonemes without marks of stress and length, as PER counts them."""
    bare = ("".join(mark for mark in phoneme if mark not in STRESS_AND_LENGTH) for phoneme in phonemes)
    return [phoneme for phoneme in bare if phoneme.strip()]


PITCH_COUNTS: tuple[str, ...] = ("voiced", "near", "near_chroma", "gross", "recalled", "unvoiced", "false_alarms")


def pitch_counts(reference: np.ndarray, f0: np.ndarray, is_voiced: np.ndarray) -> np.ndarray:
    """Return the counts of one clip that `pitch_scores` sums up, in the order of PITCH_COUNTS.

    Shapes: reference [T] in Hz, 0 where unvoiced and NaN where not known; f0 [T] in Hz, is_voiced [T] -> [7].
    """
    known = np.isfinite(reference)
    voiced = known & (reference > 0)
    cents = 1200 * np.log2(np.where(voiced, f0, 1.0) / np.where(voiced, reference, 1.0))
    octaves = 1200 * np.floor(cents / 1200 + 0.5)
    return np.array(
        [
            voiced.sum(),
            (voiced & (np.abs(cents) < PITCH_TOLERANCE_CENTS)).sum(),
            (voiced & (np.abs(cents - octaves) < PITCH_TOLERANCE_CENTS)).sum(),
            (voiced & (np.abs(np.exp2(cents / 1200) - 1) > GROSS_ERROR)).sum(),
            (voiced & is_voiced).sum(),
            (known & ~voiced).sum(),
            (known & ~voiced & is_voiced).sum(),
        ]
    )


def pitch_scores(counts: np.ndarray) -> dict[str, float]:
    """Return raw pitch and chroma accuracy within 50 cents, gross errors, voicing recall and voicing false alarm.

    Shapes: counts [N, 7]. Source: Salamon et al. 2014, "Melody Extraction from Polyphonic Music Signals"; as
    mir_eval.melody computes them.
    """
    total = dict(zip(PITCH_COUNTS, np.asarray(counts).reshape(-1, 7).sum(0), strict=True))

    def share(name: str, of: str) -> float:
        return float(total[name] / total[of]) if total[of] else float("nan")

    return {
        "raw_pitch_accuracy": share("near", "voiced"),
        "raw_chroma_accuracy": share("near_chroma", "voiced"),
        "gross_error": share("gross", "voiced"),
        "voicing_recall": share("recalled", "voiced"),
        "voicing_false_alarm": share("false_alarms", "unvoiced"),
    }


def confusion(reference: np.ndarray, answer: np.ndarray, num_labels: int) -> np.ndarray:
    """Return how often each label (row) was answered as each (column); a negative reference is left out.

    Shapes: two of [N] -> [V, V].
    """
    known = np.asarray(reference) >= 0
    pairs = np.asarray(reference)[known] * num_labels + np.asarray(answer)[known]
    return np.bincount(pairs.astype(int), minlength=num_labels**2).reshape(num_labels, num_labels)


def macro_f1(matrix: np.ndarray) -> float:
    """Return the mean F1 of the labels that occur in the reference. Shapes: matrix [V, V]."""
    hits, said, there = np.diag(matrix), matrix.sum(0), matrix.sum(1)
    present = there > 0
    return float((2 * hits[present] / (said + there)[present]).mean()) if present.any() else float("nan")


def balanced_accuracy(matrix: np.ndarray) -> float:
    """Return the mean recall of the labels that occur in the reference. Shapes: matrix [V, V]."""
    there = matrix.sum(1)
    present = there > 0
    return float((np.diag(matrix)[present] / there[present]).mean()) if present.any() else float("nan")


def roc_auc(is_positive: np.ndarray, scores: np.ndarray) -> float:
    """Return the probability that a positive scores higher than a negative, equal scores counting a half.

    Shapes: two of [N]. NaN if either kind is missing. Source: Mann & Whitney 1947.
    """
    is_positive = np.asarray(is_positive, bool)
    n_positive, n_negative = int(is_positive.sum()), int((~is_positive).sum())
    if not n_positive or not n_negative:
        return float("nan")
    _, place, count = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(count) - (count - 1) / 2)[place]
    return float((ranks[is_positive].sum() - n_positive * (n_positive + 1) / 2) / (n_positive * n_negative))
