"""Draw a token from log probabilities: greedy, temperature, top-k, top-p, and repetition-aware sampling."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import UsageError


@dataclass(frozen=True)
class Sampler:
    """How the next token is drawn.

    temperature: 0 takes the likeliest token. top_k, top_p: draw among the likeliest tokens, at most top_k, and only as
    many as reach a total probability of top_p. win_size, tau_r: a token that makes up at least tau_r of the last
    win_size tokens is forbidden, and the draw repeated over the whole vocabulary; win_size 0 turns that off.
    Raises: UsageError for a setting out of its range.
    Source: Holtzman et al. 2020 (nucleus); Chen et al. 2024, "VALL-E 2", section 4.2 (repetition-aware sampling).
    """

    temperature: float = 1.0
    top_k: int = 25
    top_p: float = 0.8
    win_size: int = 10
    tau_r: float = 0.1

    def __post_init__(self) -> None:
        for name, value, low, high in (
            ("temperature", self.temperature, 0, 100),
            ("top_k", self.top_k, 1, 10_000_000),
            ("top_p", self.top_p, 0, 1),
            ("win_size", self.win_size, 0, 100_000),
            ("tau_r", self.tau_r, 0, 1),
        ):
            if not low <= value <= high:
                raise UsageError(f"{name} must be between {low} and {high}, not {value}")

    def __call__(self, log_probs: np.ndarray, tokens: Sequence[int], uniform: Callable[[], float]) -> int:
        """Draw the next token. Shapes: log_probs [V] float32.

        tokens: those so far. uniform: returns the next random number in [0, 1); each draw uses one, at most two in all.
        """
        if self.temperature == 0:
            return int(log_probs.argmax())
        scores = log_probs if self.temperature == 1 else log_probs / np.float32(self.temperature)
        ids, probs = nucleus(softmax(scores), self.top_k, self.top_p)
        token = int(ids[draw(probs, uniform())])
        if self.win_size and list(tokens[-self.win_size :]).count(token) >= self.win_size * self.tau_r:
            scores = scores.copy()
            scores[token] = -np.inf
            token = draw(softmax(scores), uniform())
        return token


def softmax(scores: np.ndarray) -> np.ndarray:
    """Return probabilities. Shapes: scores [V] float32 -> [V]."""
    weights = np.exp(scores - scores.max())
    return weights / weights.sum()


def nucleus(probs: np.ndarray, top_k: int, top_p: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the likeliest tokens and their probabilities, likeliest first: at most top_k, and none after the one that
    takes their sum to top_p.

    Shapes: probs [V] -> two of [n], 1 <= n <= top_k. Source: Holtzman et al. 2020, section 3.1.
    """
    threshold = -np.partition(-probs, top_k - 1)[top_k - 1] if top_k < len(probs) else -np.inf
    ids = np.flatnonzero(~(probs < threshold))
    order = ids[np.argsort(-probs[ids], kind="stable")[:top_k]]
    sums = np.cumsum(probs[order], dtype=np.float32)
    count = 1 + int((sums[:-1] < np.float32(top_p)).sum())
    return order[:count], probs[order[:count]]


def draw(weights: np.ndarray, uniform: float) -> int:
    """Return the index where the running sum of the weights passes `uniform` times their total, never one of weight 0.

    Shapes: weights [V], not negative.
    """
    sums = np.cumsum(weights, dtype=np.float64)
    return int(np.searchsorted(sums, uniform * sums[-1], side="right"))
