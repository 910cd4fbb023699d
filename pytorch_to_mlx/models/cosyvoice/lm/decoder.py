"""Draw the speech tokens of one utterance, one by one."""

from collections.abc import Callable, Iterable

import mlx.core as mx
import numpy as np

from ....errors import CheckError
from ....generate.logits import log_softmax
from ....generate.sample import Sampler
from .qwen2 import Qwen2LM

MAX_RATIO, MIN_RATIO = 20, 2  # speech tokens for each text token


class Decoder:
    """The state of one utterance: the cache, the tokens so far, and where the draws come from.

    sampler: by default as the checkpoint's configuration says. uniform: gives the random numbers; seeded with 0 by
    default.
    """

    def __init__(self, lm: Qwen2LM, sampler: Sampler | None = None, uniform: Callable[[], float] | None = None) -> None:
        self.lm, self.sampler = lm, sampler or config_sampler(lm)
        self.uniform = uniform or np.random.default_rng(0).random
        self.cache = lm.new_cache()
        self.tokens: list[int] = []

    def read(self, x: mx.array) -> np.ndarray:
        """Return the log probabilities of what follows these embeddings. Shapes: x [1, L, M] -> [V]."""
        logits = self.lm.logits(self.lm(x, self.cache)[:, -1:])
        mx.eval(logits, [layer.arrays for layer in self.cache])
        return log_softmax(np.array(logits[0, 0]))

    def draw(self, log_probs: np.ndarray, forbidden: Iterable[int] = ()) -> int:
        """Draw a token that is not forbidden; `log_probs` [V] is changed."""
        for token in forbidden:
            log_probs[token] = -np.inf
        return self.sampler(log_probs, self.tokens, self.uniform)


def config_sampler(lm: Qwen2LM) -> Sampler:
    """Return the sampler that the checkpoint's configuration describes."""
    config = lm.config
    return Sampler(top_k=config.top_k, top_p=config.top_p, win_size=config.win_size, tau_r=config.tau_r)


def require_speech(lm: Qwen2LM, token: int) -> int:
    """Return the token. Raises: CheckError if it is a special id."""
    if token in lm.special_ids:
        raise CheckError(f"the language model drew the special id {token} in the middle of speech")
    return token
