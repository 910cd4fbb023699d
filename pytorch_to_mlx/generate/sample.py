"""Draw a token from log probabilities: greedy, temperature, top-k, top-p, and repetition-aware sampling."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import UsageError


@dataclass(frozen=True)
class Sampler:
    """How the next token is drawn.

    temperature: 0 takes the likeliest token. top_k, top_p: the draw is among the top_k likeliest tokens, as many as are
    needed to reach the probability top_p. win_size, tau_r: a token that makes up at least tau_r of the last win_size
    ones is forbidden and the draw repeated over the whole vocabulary; win_size 0 turns that off.
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
                raise UsageError(f"{name} is {value}; it goes from {low} to {high}")

    def __call__(self, log_probs: np.ndarray, emitted: Sequence[int], uniform: Callable[[], float]) -> int:
        """The next token. Shapes: log_probs [V] float32.

        emitted: the tokens so far. uniform: gives the next random number in [0, 1); a call takes one or two.
        """
        if self.temperature == 0:
            return int(log_probs.argmax())
        scores = log_probs if self.temperature == 1 else log_probs / np.float32(self.temperature)
        ids, kept = nucleus(softmax(scores), self.top_k, self.top_p)
        token = int(ids[draw(kept, uniform())])
        if self.win_size and list(emitted[-self.win_size :]).count(token) >= self.win_size * self.tau_r:
            scores = scores.copy()
            scores[token] = -np.inf
            token = draw(softmax(scores), uniform())
        return token


def softmax(scores: np.ndarray) -> np.ndarray:
    """Probabilities. Shapes: scores [V] float32 -> [V]."""
    weights = np.exp(scores - scores.max())
    return weights / weights.sum()


def nucleus(probs: np.ndarray, top_k: int, top_p: float) -> tuple[np.ndarray, np.ndarray]:
    """The likeliest tokens and their probabilities, falling: at most top_k, and no more once their sum is top_p."""
    least = -np.partition(-probs, top_k - 1)[top_k - 1] if top_k < len(probs) else -np.inf
    ids = np.flatnonzero(~(probs < least))
    order = ids[np.argsort(-probs[ids], kind="stable")[:top_k]]
    sums = np.cumsum(probs[order], dtype=np.float32)
    count = 1 + int((sums[:-1] < np.float32(top_p)).sum())
    return order[:count], probs[order[:count]]


def draw(weights: np.ndarray, uniform: float) -> int:
    """The index at which the running sum of the weights passes `uniform` times their sum; none of weight 0 is drawn."""
    sums = np.cumsum(weights, dtype=np.float64)
    return int(np.searchsorted(sums, uniform * sums[-1], side="right"))
