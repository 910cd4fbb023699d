"""Draw the speech tokens of one utterance, one by one."""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Protocol

import mlx.core as mx
import numpy as np

from ....errors import CheckError
from ....generate.logits import log_softmax
from ....generate.sample import Sampler
from ....nn.cache import KVCache

MAX_RATIO, MIN_RATIO = 20, 2  # speech tokens for each text token
MAX_SILENCE = 5


class DrawnFrom(Protocol):
    """How tokens are drawn, as the checkpoint's configuration says: see generate/sample.py."""

    @property
    def top_p(self) -> float: ...
    @property
    def top_k(self) -> int: ...
    @property
    def win_size(self) -> int: ...
    @property
    def tau_r(self) -> float: ...


class SpeechLM(Protocol):
    """What decoding asks of a language model: that of each version has it."""

    @property
    def config(self) -> DrawnFrom: ...
    @property
    def guarded(self) -> int: ...
    @property
    def special_ids(self) -> range: ...
    def embed_prompt(self, text: Sequence[int], speech: Sequence[int], speaker: mx.array | None = None) -> mx.array: ...
    def embed_speech(self, ids: Sequence[int]) -> mx.array: ...
    def new_cache(self) -> list[KVCache]: ...
    def __call__(self, x: mx.array, cache: list[KVCache] | None = None) -> mx.array: ...
    def logits(self, hidden: mx.array) -> mx.array: ...


class Decoder:
    """The state of one utterance: the cache, the tokens so far, and where the draws come from.

    sampler: by default as the checkpoint's configuration says. uniform: gives the random numbers; seeded with 0 by
    default.
    """

    def __init__(
        self, lm: SpeechLM, sampler: Sampler | None = None, uniform: Callable[[], float] | None = None
    ) -> None:
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


def shorten_silence(tokens: Iterator[int], silent: Collection[int]) -> Iterator[int]:
    """Yield the tokens; of each run of silent ones only the first MAX_SILENCE.

    Source: CosyVoiceModel.llm_job, cosyvoice/cli/model.py@ace7c47.
    """
    run = 0
    for token in tokens:
        run = run + 1 if token in silent else 0
        if run <= MAX_SILENCE:
            yield token


def config_sampler(lm: SpeechLM) -> Sampler:
    """Return the sampler that the checkpoint's configuration describes."""
    config = lm.config
    return Sampler(top_k=config.top_k, top_p=config.top_p, win_size=config.win_size, tau_r=config.tau_r)


def require_speech(lm: SpeechLM, token: int) -> int:
    """Return the token. Raises: CheckError if it is a special id."""
    if token in lm.special_ids:
        raise CheckError(f"the language model drew the special id {token} in the middle of speech")
    return token
