"""Speech tokens to audio in pieces as the original makes them: for comparison. `streaming` is what to use."""

from collections.abc import Iterator

import mlx.core as mx
import numpy as np

from ..model import Model
from ..speakers import Speaker
from ..streaming import HOPS, Clock
from ..vocoder.config import Noise
from .vocoder_overlap import OverlapStream


class OriginalStreams:
    """The original's streams, one request after another, with its faults.

    Each piece runs the whole flow again; pieces become longer from request to request, because their length is never
    reset; the last is computed with another mask than those before it; and the vocoder is an `OverlapStream`.
    Source: CosyVoice2Model.tts of FunAudioLLM/CosyVoice@ace7c47.
    """

    def __init__(self, model: Model, growth: int = 2) -> None:
        """growth: of each piece over the one before, up to four chunks; 1 in versions before ace7c47."""
        self.model, self.hop, self.growth = model, model.config.flow.chunk_size, growth

    def mels(
        self, tokens: Iterator[int], speaker: Speaker, clock: Clock, *, noise: mx.array, steps: int, solver: str
    ) -> Iterator[tuple[mx.array, bool]]:
        """Yield each piece's mel, and whether it is the last. Shapes: -> [1, T, n_mels]."""
        config = self.model.config.flow
        said: list[int] = []
        done, padding = 0, -len(speaker.speech_tokens) % self.hop

        def mel(**mode: bool) -> mx.array:
            with clock.part("flow"):
                given = mx.array([said], dtype=mx.int32), speaker.tokens(), speaker.mel, speaker.embedding
                whole = self.model.flow(*given, noise=noise, steps=steps, solver=solver, **mode)
                mx.eval(whole)
            return whole[:, done * config.token_mel_ratio :]

        for token in clock.tokens(tokens):
            said.append(token)
            count = self.hop if done else self.hop + padding
            if len(said) - done >= count + config.encoder.lookahead:
                yield mel(streaming=True, finalize=False), False
                done += count
                self.hop = min(HOPS[-1] * config.chunk_size, self.growth * self.hop)
        if said:
            yield mel(), True

    def audio(self, mels: Iterator[tuple[mx.array, bool]], noise: Noise, clock: Clock) -> Iterator[np.ndarray]:
        """Yield the samples of the mels. Shapes: -> [L]."""
        vocoder = OverlapStream(self.model.hift, noise)
        for mel, last in mels:
            with clock.part("vocoder"):
                audio = np.array(vocoder.feed(mel, last)[0])
            clock.audio()
            yield audio
