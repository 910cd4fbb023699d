"""Speech tokens to audio in the original's pieces, for comparison. streaming.py is what to use."""

from collections.abc import Iterator

import mlx.core as mx
import numpy as np

from ..model import Model
from ..speakers import Speaker
from ..streaming import HOPS, Clock, stream_audio
from ..vocoder.causal_hift import CausalHift
from ..vocoder.config import Noise
from ..vocoder.stream import HiftStream
from .vocoder_overlap import OverlapStream


class OriginalStreams:
    """Stream one request after another with the original's faults.

    Each piece runs the whole flow again; pieces become longer from request to request, because their length is never
    reset; the last is computed with another mask than those before it; and the vocoder is an `OverlapStream`.

    Args:
        growth: of each piece over the one before, up to four chunks; 1 before ace7c47
    Source: CosyVoice2Model.tts of FunAudioLLM/CosyVoice@ace7c47.
    """

    def __init__(self, model: Model, growth: int = 2) -> None:
        self.model, self.hop, self.growth = model, model.config.flow.chunk_size, growth

    def mels(
        self, tokens: Iterator[int], speaker: Speaker, clock: Clock, *, noise: mx.array, steps: int, solver: str
    ) -> Iterator[tuple[mx.array, bool]]:
        """Yield each piece's mel, and whether it is the last. Shapes: -> [1, T, n_mels]."""
        config = self.model.config.flow
        received: list[int] = []
        offset, padding = 0, -len(speaker.speech_tokens) % self.hop  # tokens whose mel came out before

        def mel(**mode: bool) -> mx.array:
            with clock.part("flow"):
                inputs = mx.array([received], dtype=mx.int32), speaker.tokens(), speaker.mel, speaker.embedding
                whole = self.model.flow(*inputs, noise=noise, steps=steps, solver=solver, **mode)
                mx.eval(whole)
            return whole[:, offset * config.token_mel_ratio :]

        for token in clock.time_tokens(tokens):
            received.append(token)
            count = self.hop if offset else self.hop + padding
            if len(received) - offset >= count + config.encoder.lookahead:
                yield mel(streaming=True, finalize=False), False
                offset += count
                self.hop = min(HOPS[-1] * config.chunk_size, self.growth * self.hop)
        if received:
            yield mel(), True

    def audio(self, mels: Iterator[tuple[mx.array, bool]], noise: Noise, clock: Clock) -> Iterator[np.ndarray]:
        """Yield the samples of the mels. Shapes: -> [L]."""
        if isinstance(self.model.hift, CausalHift):  # which the original runs anew over the whole mel each time
            yield from stream_audio((mel for mel, _ in mels), HiftStream(self.model.hift, noise), clock)
            return
        vocoder = OverlapStream(self.model.hift, noise)
        for mel, last in mels:
            with clock.part("vocoder"):
                audio = np.array(vocoder.feed(mel, last)[0])
            clock.mark_audio()
            yield audio
