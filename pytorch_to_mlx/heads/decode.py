"""From CTC scores to labels: the likeliest path, or a beam over label sequences."""

from collections import defaultdict

import numpy as np

_NEVER = -np.inf


def greedy(logits: np.ndarray, *, blank: int = 0) -> list[int]:
    """Return the labels of the likeliest path: repeats merged, blanks left out. Shapes: logits [T, V]."""
    path = logits.argmax(-1)
    is_new = np.ones(len(path), bool)
    is_new[1:] = path[1:] != path[:-1]
    return [int(label) for label in path[is_new] if label != blank]


def beam_search(
    log_probs: np.ndarray, *, blank: int = 0, beam_size: int = 16, n_labels: int = 20
) -> list[tuple[tuple[int, ...], float]]:
    """Return the likeliest label sequences with the logarithm of their probability, summed over paths; best first.

    n_labels: the likeliest labels of a frame that are tried.
    Shapes: log_probs [T, V], normalised. Source: Hannun et al. 2014, "First-Pass Large Vocabulary Continuous Speech
    Recognition using Bi-Directional Recurrent DNNs", algorithm 1, without a language model.
    """
    # of a prefix: the logarithms of P(its paths that end in a blank), and of those that end in its last label
    beams: dict[tuple[int, ...], tuple[float, float]] = {(): (0.0, _NEVER)}
    for frame in np.asarray(log_probs, np.float64):
        scores: dict[tuple[int, ...], list[float]] = defaultdict(lambda: [_NEVER, _NEVER])
        labels = [int(label) for label in np.argsort(-frame, kind="stable")[:n_labels]]
        for prefix, (in_blank, in_label) in beams.items():
            total = np.logaddexp(in_blank, in_label)
            _add(scores[prefix], 0, total + frame[blank])
            if prefix:
                _add(scores[prefix], 1, in_label + frame[prefix[-1]])
            for label in labels:
                if label == blank:
                    continue
                before = in_blank if prefix and label == prefix[-1] else total
                if before > _NEVER:  # a repeat needs a blank first
                    _add(scores[(*prefix, label)], 1, before + frame[label])
        best = sorted(scores.items(), key=lambda item: (-np.logaddexp(item[1][0], item[1][1]), item[0]))[:beam_size]
        beams = {prefix: (in_blank, in_label) for prefix, (in_blank, in_label) in best}
    return [(prefix, float(np.logaddexp(ends[0], ends[1]))) for prefix, ends in beams.items()]


def _add(ends: list[float], place: int, log_prob: float) -> None:
    ends[place] = float(np.logaddexp(ends[place], log_prob))
