"""Speech tokens that are still coming to audio, piece by piece; nothing is computed twice."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain, islice
from time import perf_counter

import mlx.core as mx
import numpy as np

from ...backend import memory
from .flow.stream import FlowStream
from .model import Model
from .vocoder.stream import HiftStream, frames_ahead

OVERLAP = 50  # tokens, 2 s, of the window before that a window goes on from
HOPS = (1, 2, 4)  # chunks for the first piece, the second, and all that follow: soon at first, then few calls


class Clock:
    """Seconds spent in each part, and as they stood at the first audio."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.first: dict[str, float] = {}

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        began = perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + perf_counter() - began

    def tokens(self, tokens: Iterator[int]) -> Iterator[int]:
        """The same tokens, timed as 'language_model'."""
        while True:
            with self.part("language_model"):
                token = next(tokens, None)
            if token is None:
                return
            yield token

    def audio(self) -> None:
        """There is audio now."""
        self.first = self.first or dict(self.seconds)


def first_hop(model: Model, prompt: int) -> int:
    """The fewest tokens that complete a chunk and are heard, after a prompt of so many tokens.

    The chunks begin at the prompt, so that its last one is completed by the first new tokens; but the vocoder holds
    back `frames_ahead`.
    """
    flow = model.config.flow
    count = -prompt % flow.chunk_size
    while count * flow.token_mel_ratio <= frames_ahead(model.config.hift):
        count += flow.chunk_size
    return count


def mels_of(model: Model, tokens: Iterator[int], flow: FlowStream, prompt: int, clock: Clock) -> Iterator[mx.array]:
    """Yield the mel of tokens as soon as there are enough; all of them joined are those of one call with every token.

    flow: a stream that has been fed the prompt's `prompt` tokens. Shapes: -> [1, T, n_mels].
    """
    ahead, chunk = model.config.flow.encoder.lookahead, model.config.flow.chunk_size
    waiting: list[int] = []
    wanted, hops = first_hop(model, prompt) + ahead, iter(HOPS[1:])
    for token in clock.tokens(tokens):
        waiting.append(token)
        if len(waiting) == wanted:
            with clock.part("flow"):
                mel = flow.feed(_row(waiting))
                mx.eval(mel)
            waiting, wanted = [], chunk * next(hops, HOPS[-1])
            yield mel
    with clock.part("flow"):
        mel = flow.finish(_row(waiting) if waiting else None)
        mx.eval(mel)
    yield mel


def mels_in_windows(
    model: Model, tokens: Iterator[int], prefix: FlowStream, prompt: int, clock: Clock, size: int
) -> Iterator[mx.array]:
    """The same for any number of tokens in the memory of `size`, which is left with each window of so many.

    The next window goes on from the last OVERLAP tokens and their mel as from a longer prompt.
    prefix: a stream that has been fed the prompt's `prompt` tokens; it stays as it is.
    """
    flow, before = prefix.copy(), prompt
    while True:
        window: list[int] = []
        mels: list[mx.array] = []
        for mel in mels_of(model, _kept(islice(tokens, size), window), flow, before, clock):
            mels.append(mel)
            yield mel
        if len(window) < size:
            return
        with clock.part("flow"):
            last = window[-OVERLAP:]
            heard = mx.contiguous(mx.concatenate(mels, axis=1)[:, -len(last) * model.config.flow.token_mel_ratio :])
            mx.eval(heard)
            flow, before = prefix.continued(_row(last), heard), prompt + len(last)
        memory.give_back()


def _kept(tokens: Iterator[int], into: list[int]) -> Iterator[int]:
    for token in tokens:
        into.append(token)
        yield token


def audio_of(mels: Iterator[mx.array], vocoder: HiftStream, clock: Clock) -> Iterator[np.ndarray]:
    """Yield the samples of mels as they come. Shapes: mels [1, T, n_mels] -> [L], L > 0."""
    for mel in chain(mels, [None]):
        with clock.part("vocoder"):
            audio = np.array((vocoder.finish() if mel is None else vocoder.feed(mel))[0])
        if len(audio):
            clock.audio()
            yield audio


def _row(tokens: list[int]) -> mx.array:
    return mx.array([tokens], dtype=mx.int32)
