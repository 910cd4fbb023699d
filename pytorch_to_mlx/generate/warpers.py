"""Rules that narrow what sampling draws from, in the order of transformers' generate().

They work on scores [rows, V]: what is left out becomes -inf.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np

from .options import GenerationOptions

Rows = Sequence[Sequence[int]]
MOST_OF_TOP_H = 100  # tokens whose entropy is summed


def warpers(options: GenerationOptions) -> Iterator[Callable[[Rows, np.ndarray], None]]:
    """Yield the rules of sampling.

    Source: transformers 5.23, generation/utils.py `_get_logits_processor` and logits_process.py.
    """
    n_least = len(options.eos) + 1 if options.is_beam_search else 1  # so that a beam can go on
    if options.temperature != 1:
        yield partial(_divide, options.temperature)
    if options.top_h is not None:
        yield partial(_top_h, options.top_h)
    if options.top_k:
        yield partial(_top_k, max(options.top_k, n_least))
    if options.top_p < 1:
        yield partial(_top_p, options.top_p, n_least)
    if options.min_p is not None:
        yield partial(_min_p, options.min_p, n_least)
    if options.typical_p < 1:
        yield partial(_typical, options.typical_p, n_least)
    if 0 < options.epsilon_cutoff < 1:
        yield partial(_epsilon, options.epsilon_cutoff, n_least)
    if 0 < options.eta_cutoff < 1:
        yield partial(_eta, options.eta_cutoff, n_least)


def softmax(scores: np.ndarray) -> np.ndarray:
    """Return probabilities over the last axis. Shapes: scores [..., V] -> the same."""
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)


def _divide(temperature: float, rows: Rows, scores: np.ndarray) -> None:
    scores /= np.float32(temperature)


def _kth_largest(scores: np.ndarray, k: int) -> np.ndarray:
    """Return the k-th largest score of each row. Shapes: scores [rows, V] -> [rows, 1]."""
    k = min(k, scores.shape[-1])
    return -np.partition(-scores, k - 1, axis=-1)[:, k - 1 : k]


def _top_k(k: int, rows: Rows, scores: np.ndarray) -> None:
    """Keep the k likeliest tokens. Source: Fan et al. 2018, section 5.4."""
    scores[scores < _kth_largest(scores, k)] = -np.inf


def _top_p(top_p: float, n_least: int, rows: Rows, scores: np.ndarray) -> None:
    """Keep the likeliest tokens that together reach top_p. Source: Holtzman et al. 2020, section 3.1."""
    for row in scores:
        order = np.argsort(row, kind="stable")
        removed = np.cumsum(softmax(row[order])) <= 1 - top_p
        removed[-n_least:] = False
        row[order[removed]] = -np.inf


def _top_h(top_h: float, rows: Rows, scores: np.ndarray) -> None:
    """Keep the likeliest tokens with a share top_h of the entropy. Source: Potraghloo et al. 2025, algorithm 1."""
    for row in scores:
        top = np.argsort(-row, kind="stable")[: min(MOST_OF_TOP_H, len(row))]
        probs = softmax(row[top])
        with np.errstate(divide="ignore", invalid="ignore"):
            entropies = np.where(probs > 0, -probs * np.log(probs), 0)
        keep = np.cumsum(entropies) <= np.float32(top_h) * entropies.sum()
        keep[0] = True
        values = row[top[keep]]
        row[:] = -np.inf
        row[top[keep]] = values


def _min_p(min_p: float, n_least: int, rows: Rows, scores: np.ndarray) -> None:
    """Keep tokens with at least min_p of the probability of the likeliest. Source: Nguyen et al. 2024, section 3."""
    probs = softmax(scores)
    removed = probs < np.float32(min_p) * probs.max(axis=-1, keepdims=True)
    _remove(scores, removed & (scores < _kth_largest(scores, n_least)))


def _typical(mass: float, n_least: int, rows: Rows, scores: np.ndarray) -> None:
    """Keep the tokens whose surprise is nearest to the entropy. Source: Meister et al. 2022, section 3."""
    for row in scores:
        probs = softmax(row)
        with np.errstate(divide="ignore", invalid="ignore"):
            surprise = -np.log(probs)
            entropy = np.nansum(np.where(probs > 0, probs * surprise, 0))
        distance = np.abs(surprise - entropy)
        order = np.argsort(distance, kind="stable")
        last = min(int((np.cumsum(probs[order]) < np.float32(mass)).sum()), len(row) - 1)
        removed = distance[order] > distance[order[last]]
        removed[:n_least] = False
        row[order[removed]] = -np.inf


def _epsilon(epsilon: float, n_least: int, rows: Rows, scores: np.ndarray) -> None:
    """Keep tokens with a probability of at least epsilon. Source: Hewitt et al. 2022, section 4.1."""
    _remove(scores, (softmax(scores) < np.float32(epsilon)) & (scores < _kth_largest(scores, n_least)))


def _eta(epsilon: float, n_least: int, rows: Rows, scores: np.ndarray) -> None:
    """Keep tokens above min(epsilon, sqrt(epsilon) · exp(-entropy)). Source: Hewitt et al. 2022, section 4.2."""
    probs = softmax(scores)
    with np.errstate(divide="ignore", invalid="ignore"):
        entropy = np.where(probs > 0, -probs * np.log(probs), 0).sum(axis=-1, keepdims=True)
    eta = np.minimum(np.float32(epsilon), np.sqrt(np.float32(epsilon)) * np.exp(-entropy))
    _remove(scores, (probs < eta) & (scores < _kth_largest(scores, n_least)))


def _remove(scores: np.ndarray, removed: np.ndarray) -> None:
    scores[removed] = -np.inf
