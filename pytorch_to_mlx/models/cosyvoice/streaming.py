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
from .versions import COSYVOICE2
from .vocoder.stream import HiftStream, lookahead_frames

OVERLAP = 2 * COSYVOICE2.token_rate  # tokens of the window before, 2 s, that a window continues from
HOPS = (1, 2, 4)  # chunks in the first piece, the second, and all that follow: first soon, then in few calls


class Clock:
    """Seconds spent in each part of a request, and what they were at the first audio."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.first: dict[str, float] = {}

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Add the time inside the `with` to this part."""
        start = perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + perf_counter() - start

    def time_tokens(self, tokens: Iterator[int]) -> Iterator[int]:
        """Yield the same tokens, timed as 'language_model'."""
        while True:
            with self.part("language_model"):
                token = next(tokens, None)
            if token is None:
                return
            yield token

    def mark_audio(self) -> None:
        """Note that there is audio now; only the first time counts."""
        self.first = self.first or dict(self.seconds)


def count_first_tokens(model: Model, n_prompt: int) -> int:
    """Return the fewest tokens after the prompt's that complete a chunk and give audio.

    The chunks begin at the prompt, so that its last one is completed by the first new tokens; but the vocoder holds
    back `lookahead_frames`.
    """
    flow = model.config.flow
    count = -n_prompt % flow.chunk_size
    while count * flow.token_mel_ratio <= lookahead_frames(model.config.hift):
        count += flow.chunk_size
    return count


def stream_mels(
    model: Model, tokens: Iterator[int], flow: FlowStream, n_prompt: int, clock: Clock
) -> Iterator[mx.array]:
    """Yield the mel of tokens as soon as there are enough; all of them joined are those of one call with every token.

    flow: a stream that has been fed the prompt's `n_prompt` tokens. Shapes: -> [1, T, n_mels].
    """
    lookahead, chunk = model.config.flow.encoder.lookahead, model.config.flow.chunk_size
    pending: list[int] = []
    count, hops = count_first_tokens(model, n_prompt) + lookahead, iter(HOPS[1:])
    for token in clock.time_tokens(tokens):
        pending.append(token)
        if len(pending) == count:
            with clock.part("flow"):
                mel = flow.feed(_row(pending))
                mx.eval(mel)
            pending, count = [], chunk * next(hops, HOPS[-1])
            yield mel
    with clock.part("flow"):
        mel = flow.finish(_row(pending) if pending else None)
        mx.eval(mel)
    yield mel


def stream_mels_in_windows(
    model: Model, tokens: Iterator[int], prefix: FlowStream, n_prompt: int, clock: Clock, size: int
) -> Iterator[mx.array]:
    """Yield the mel of any number of tokens in the memory of one window of `size` tokens.

    Each next window continues from the last OVERLAP tokens and their mel, as from a longer prompt.
    prefix: a stream that has been fed the prompt's `n_prompt` tokens; it is not changed. Shapes: -> [1, T, n_mels].
    """
    flow, n_before = prefix.copy(), n_prompt
    while True:
        window: list[int] = []
        mels: list[mx.array] = []
        for mel in stream_mels(model, _record(islice(tokens, size), window), flow, n_before, clock):
            mels.append(mel)
            yield mel
        if len(window) < size:
            return
        with clock.part("flow"):
            last = window[-OVERLAP:]
            n_frames = len(last) * model.config.flow.token_mel_ratio
            last_mel = mx.contiguous(mx.concatenate(mels, axis=1)[:, -n_frames:])
            mx.eval(last_mel)
            flow, n_before = prefix.continue_from(_row(last), last_mel), n_prompt + len(last)
        memory.release_cached_memory()


def _record(tokens: Iterator[int], record: list[int]) -> Iterator[int]:
    """Yield the same tokens, and append each to `record`."""
    for token in tokens:
        record.append(token)
        yield token


def stream_audio(mels: Iterator[mx.array], vocoder: HiftStream, clock: Clock) -> Iterator[np.ndarray]:
    """Yield the samples of mels as they come. Shapes: mels [1, T, n_mels] -> [L], L > 0."""
    for mel in chain(mels, [None]):
        with clock.part("vocoder"):
            audio = np.array((vocoder.finish() if mel is None else vocoder.feed(mel))[0])
        if len(audio):
            clock.mark_audio()
            yield audio


def _row(tokens: list[int]) -> mx.array:
    return mx.array([tokens], dtype=mx.int32)
