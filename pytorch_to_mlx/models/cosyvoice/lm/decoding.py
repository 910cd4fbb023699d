"""Text tokens to speech tokens, one by one: from a whole text, or from text that is still being written."""

from collections.abc import Callable, Iterable, Iterator, Sequence

import mlx.core as mx
import numpy as np

from ....errors import CheckError
from ....generate.logits import log_softmax
from ....generate.sample import Sampler
from .qwen2 import Qwen2LM

MAX_RATIO, MIN_RATIO = 20, 2  # speech tokens for one text token


class Decoder:
    """One utterance: the cache, the tokens so far, and the draws."""

    def __init__(self, lm: Qwen2LM, sampler: Sampler, uniform: Callable[[], float]) -> None:
        self.lm, self.sampler, self.uniform = lm, sampler, uniform
        self.cache = lm.start()
        self.emitted: list[int] = []

    def read(self, x: mx.array) -> np.ndarray:
        """Log probabilities of what comes after these embeddings. Shapes: x [1, L, M] -> [V]."""
        logits = self.lm.logits(self.lm(x, self.cache)[:, -1:])
        mx.eval(logits, [layer.arrays for layer in self.cache])
        return log_softmax(np.array(logits[0, 0]))

    def draw(self, log_probs: np.ndarray, forbidden: Iterable[int] = ()) -> int:
        for token in forbidden:
            log_probs[token] = -np.inf
        return self.sampler(log_probs, self.emitted, self.uniform)


def speech_tokens(
    lm: Qwen2LM,
    text: Sequence[int],
    *,
    prompt_text: Sequence[int] = (),
    prompt_speech: Sequence[int] = (),
    sampler: Sampler | None = None,
    uniform: Callable[[], float] | None = None,
    min_ratio: float = MIN_RATIO,
    max_ratio: float = MAX_RATIO,
    as_original: bool = False,
) -> Iterator[int]:
    """Yield the speech tokens of `text`, which the prompt's text and speech go before.

    min_ratio, max_ratio: the least and most speech tokens for each token of `text`.
    as_original: before the least length the original forbids `eos` alone, and one of the other special ids ends it.
    """
    decoder = Decoder(lm, sampler or sampler_of(lm), uniform or np.random.default_rng(0).random)
    at_least, at_most = int(len(text) * min_ratio), int(len(text) * max_ratio)
    guarded = (lm.eos,) if as_original else lm.stop_ids
    x = lm.prompt([*prompt_text, *text], prompt_speech)
    for count in range(at_most):
        token = decoder.draw(decoder.read(x), guarded if count < at_least else ())
        if token in lm.stop_ids:
            return
        yield token
        decoder.emitted.append(token)
        x = lm.speech([token])


def speech_tokens_of_stream(
    lm: Qwen2LM,
    text: Iterable[int],
    *,
    prompt_text: Sequence[int] = (),
    prompt_speech: Sequence[int] = (),
    sampler: Sampler | None = None,
    uniform: Callable[[], float] | None = None,
    max_ratio: float = MAX_RATIO,
    as_original: bool = False,
) -> Iterator[int]:
    """Yield speech tokens while the text is still coming: five text tokens, fifteen speech tokens, in turn.

    After each fifteen the model (or we for it) says `fill`, and the next five text tokens follow; when the text has
    ended, the rest of it and the task token, and speech to the end.
    as_original: special ids that have no place are drawn and then refused; the embedding before a `fill` that no text
    followed is read twice; prompt speech that the text was too short for is left out; and the speech after the text
    has no greatest length.
    Source: Du et al. 2024, "CosyVoice 2", section 2.3.
    """
    decoder = Decoder(lm, sampler or sampler_of(lm), uniform or np.random.default_rng(0).random)
    texts, speeches = lm.config.mix_ratio
    misplaced = [i for i in lm.stop_ids if i != lm.fill]
    waiting, prompt = list(prompt_text), list(prompt_speech)
    next_fill = (len(prompt) // speeches + 1) * speeches - len(prompt)
    count = len(waiting)
    x: mx.array | None = lm.sos()  # what is to be read next
    last, begun, resuming = x, False, False
    for word in text:
        count += 1
        waiting.append(word)
        while prompt and len(waiting) >= texts:
            x = _joined(x, lm.text(waiting[:texts]), lm.speech(prompt[:speeches]))
            waiting, prompt, begun = waiting[texts:], prompt[speeches:], True
        if prompt:
            continue
        if resuming or not begun:
            if len(waiting) < texts:
                continue
            x = _joined(x, lm.text(waiting[:texts]))
            waiting, begun = waiting[texts:], True
        while True:
            assert x is not None
            log_probs = decoder.read(x)
            last, x = x, None
            if len(decoder.emitted) == next_fill:
                token = lm.fill
            else:
                forbidden = (lm.eos,) if as_original else misplaced
                token = decoder.draw(log_probs, forbidden)
            decoder.emitted.append(token)
            if token == lm.fill:
                next_fill = len(decoder.emitted) + speeches
                resuming = True
                break
            yield _speech_only(lm, token)
            x = lm.speech([token])
    if as_original and x is None:
        x = last
    at_most = None if as_original else int(count * max_ratio)
    unread = [] if as_original else [lm.speech(prompt)]
    x = _joined(x, lm.text(waiting), lm.task(), *unread)
    guarded = () if as_original else [i for i in lm.stop_ids if i != lm.eos]
    while at_most is None or len(decoder.emitted) < at_most:
        token = decoder.draw(decoder.read(x), guarded)
        if token == lm.eos:
            return
        decoder.emitted.append(token)
        yield _speech_only(lm, token)
        x = lm.speech([token])


def sampler_of(lm: Qwen2LM) -> Sampler:
    """Drawing as the checkpoint's configuration says."""
    config = lm.config
    return Sampler(top_k=config.top_k, top_p=config.top_p, win_size=config.win_size, tau_r=config.tau_r)


def _speech_only(lm: Qwen2LM, token: int) -> int:
    if token in lm.stop_ids:
        raise CheckError(f"the language model said {token}, which has no place in speech")
    return token


def _joined(*parts: mx.array | None) -> mx.array:
    return mx.concatenate([part for part in parts if part is not None], axis=1)
