"""Kokoro-82M: phoneme ids and a style vector to audio."""

from collections.abc import Sequence
from typing import NamedTuple

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from ...errors import UsageError
from ...nn.linear import linear
from ...taps import tap
from .config import Config
from .istftnet import Decoder
from .plbert import PlBert
from .prosody import ProsodyPredictor, TextEncoder


class Prosody(NamedTuple):
    """What is said when, before there is any sound. T = sum(durations).

    durations: [L] int32, frames of each id. asr: text features by frame, [1, T, hidden_dim].
    f0: pitch in Hz, [1, 2T]. n: energy, [1, 2T].
    """

    durations: mx.array
    asr: mx.array
    f0: mx.array
    n: mx.array


class Synthesis(NamedTuple):
    """audio: [T · samples_per_frame] float32 at 24 kHz. durations: [L] int32, frames of each id."""

    audio: mx.array
    durations: mx.array


class Model(nn.Module):
    """The whole model: `model(ids, style, speed)`, or its three stages `prosody`, `excite` and `decode`.

    ids: one input of 1 … max_position_embeddings phoneme ids with id 0 at both ends. style: one row of a voice,
    [1, 2 · style_dim]: the decoder's half, then the prosody's. Batches are not taken: every input has its own number
    of frames, and the norms over time would see the padding.

        audio, durations = model(ids, voice[len(ids) - 3], speed=1.0, key=mx.random.key(0))
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.bert = PlBert(config.plbert, config.n_token)
        self.bert_encoder = nn.Linear(config.plbert.hidden_size, config.hidden_dim)
        self.text_encoder = TextEncoder(config)
        self.predictor = ProsodyPredictor(config)
        self.decoder = Decoder(config)

    def __call__(
        self,
        ids: Sequence[int],
        style: mx.array,
        speed: float = 1.0,
        *,
        noise: mx.array | None = None,
        key: mx.array | None = None,
    ) -> Synthesis:
        """Synthesize one input. The source's noise is `noise`, or drawn from `key`, or from MLX's own generator."""
        prosody = self.prosody(ids, style, speed)
        noise = self.draw_noise(prosody, key) if noise is None else noise
        audio = self.decode(prosody, style, self.excite(prosody, noise))
        return Synthesis(tap("speech", audio), prosody.durations)

    def prosody(self, ids: Sequence[int], style: mx.array, speed: float = 1.0) -> Prosody:
        """Durations, pitch, energy and text features by frame; evaluated.

        Raises: UsageError for ids out of range, too many of them, a style of the wrong shape, a speed that is not > 0.
        """
        tokens = self._checked(ids, style, speed)
        style = style[:, self.config.style_dim :].astype(self._dtype)
        x = tap("bert_encoder", linear(self.bert_encoder, tap("bert", self.bert(tokens))))
        features, logits = self.predictor.durations(x, style)
        logits = tap("duration_logits", logits).astype(mx.float32)
        durations = mx.maximum(mx.round(mx.sigmoid(logits).sum(axis=-1) / speed), 1).astype(mx.int32)[0]
        tap("durations", durations)
        index = mx.array([i for i, count in enumerate(np.array(durations)) for _ in range(count)])  # [T]
        f0, n = self.predictor.curves(mx.take(features, index, axis=1), style)
        text = tap("text_encoder", self.text_encoder(tokens))
        prosody = Prosody(durations, mx.take(text, index, axis=1), tap("f0", f0), tap("n", n))
        mx.eval(prosody)
        return prosody

    def noise_shape(self, prosody: Prosody) -> tuple[int, int, int]:
        """The shape of `excite`'s noise: one value for each sample and harmonic."""
        return self.decoder.generator.source.noise_shape(prosody.f0)

    def draw_noise(self, prosody: Prosody, key: mx.array | None = None) -> mx.array:
        """Standard normal noise for `excite`; the same key gives the same noise."""
        return mx.random.normal(self.noise_shape(prosody), key=key)

    def excite(self, prosody: Prosody, noise: mx.array) -> mx.array:
        """The spectrum of the voice's harmonics and noise, evaluated. Shapes: -> [1, frames, n_fft + 2] float32."""
        excitation = self.decoder.generator.excitation(prosody.f0, noise)
        mx.eval(excitation)
        return excitation

    def decode(self, prosody: Prosody, style: mx.array, excitation: mx.array) -> mx.array:
        """Audio of a prosody, evaluated. Shapes: -> [T · samples_per_frame] float32."""
        style = style[:, : self.config.style_dim].astype(self._dtype)
        audio = self.decoder(prosody.asr, prosody.f0, prosody.n, excitation, style)[0]
        mx.eval(tap("audio", audio))
        return audio

    @property
    def _dtype(self) -> mx.Dtype:
        return self.text_encoder.convs[0].weight.dtype

    def _checked(self, ids: Sequence[int], style: mx.array, speed: float) -> mx.array:
        config = self.config
        tokens = [int(i) for i in ids]
        limit = config.plbert.max_position_embeddings
        if not 1 <= len(tokens) <= limit:
            raise UsageError(f"{len(tokens)} phoneme ids", fix=f"give 1 to {limit}, both end marks included")
        if wrong := [i for i in tokens if not 0 <= i < config.n_token]:
            raise UsageError(f"phoneme id {wrong[0]} is not in 0 … {config.n_token - 1}")
        if style.shape != (1, 2 * config.style_dim):
            raise UsageError(f"a style of shape {list(style.shape)}, expected {[1, 2 * config.style_dim]}")
        if not speed > 0:
            raise UsageError(f"speed is {speed}", fix="give a number above 0")
        return mx.array([tokens])
