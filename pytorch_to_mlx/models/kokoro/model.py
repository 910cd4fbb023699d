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
    """Durations and frame-level features, from which the decoder makes the audio.

    Shapes, with T = sum(durations): durations [L] int32, frames of each id; text_features [1, T, hidden_dim];
    f0 [1, 2T], pitch in Hz; energy [1, 2T].
    """

    durations: mx.array
    text_features: mx.array
    f0: mx.array
    energy: mx.array


class Synthesis(NamedTuple):
    """The speech of one input.

    Shapes: audio [T · samples_per_frame] float32; durations [L] int32, frames of each id.
    """

    audio: mx.array
    durations: mx.array


class Model(nn.Module):
    """The whole model: `model(ids, style, speed)`, or its three stages `prosody`, `excite` and `decode`.

    ids: one input of 1 … max_position_embeddings phoneme ids with id 0 at both ends. style: one row of a voice,
    [1, 2 · style_dim]: the decoder's half, then the prosody's. There are no batches: every input has its own number of
    frames, and the norms over time would see the padding.

        audio, durations = model(ids, voice[len(ids) - 3], speed=1.0, key=mx.random.key(0))

    Source: Li et al. 2023, "StyleTTS 2"; KModel of kokoro 0.9.4, kokoro/model.py.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        self._config = config
        self.bert = PlBert(config.plbert, config.n_token)
        self.bert_encoder = nn.Linear(config.plbert.hidden_size, config.hidden_dim)
        self.text_encoder = TextEncoder(config)
        self.predictor = ProsodyPredictor(config)
        self.decoder = Decoder(config)

    @property
    def config(self) -> Config:
        """Return the sizes that the model was built with."""
        return self._config

    def __call__(
        self,
        ids: Sequence[int],
        style: mx.array,
        speed: float = 1.0,
        *,
        noise: mx.array | None = None,
        key: mx.array | None = None,
    ) -> Synthesis:
        """Synthesize one input. The source's noise is `noise`, or drawn from `key`, or from MLX's global generator.

        Shapes: style [1, 2 · style_dim], noise as `noise_shape` says. Raises: what `prosody` raises.
        """
        prosody = self.prosody(ids, style, speed)
        noise = self.draw_noise(prosody, key) if noise is None else noise
        audio = self.decode(prosody, style, self.excite(prosody, noise))
        return Synthesis(tap("speech", audio), prosody.durations)

    def prosody(self, ids: Sequence[int], style: mx.array, speed: float = 1.0) -> Prosody:
        """Predict durations, pitch, energy and text features by frame; evaluated.

        Shapes: style [1, 2 · style_dim].
        Raises: UsageError for ids out of range, too many of them, a style of the wrong shape, a speed that is not > 0.
        """
        tokens = self._check(ids, style, speed)
        style = style[:, self.config.style_dim :].astype(self._dtype)
        x = tap("bert_encoder", linear(self.bert_encoder, tap("bert", self.bert(tokens))))
        features, logits = self.predictor.durations(x, style)
        logits = tap("duration_logits", logits).astype(mx.float32)
        durations = mx.maximum(mx.round(mx.sigmoid(logits).sum(axis=-1) / speed), 1).astype(mx.int32)[0]
        tap("durations", durations)
        id_of_frame = mx.array([i for i, n_frames in enumerate(np.array(durations)) for _ in range(n_frames)])  # [T]
        f0, energy = self.predictor.curves(mx.take(features, id_of_frame, axis=1), style)
        text = tap("text_encoder", self.text_encoder(tokens))
        prosody = Prosody(durations, mx.take(text, id_of_frame, axis=1), tap("f0", f0), tap("n", energy))
        mx.eval(prosody)
        return prosody

    def noise_shape(self, prosody: Prosody) -> tuple[int, int, int]:
        """Return the shape of the noise that `excite` takes: one value for each sample and harmonic."""
        return self.decoder.generator.source.noise_shape(prosody.f0)

    def draw_noise(self, prosody: Prosody, key: mx.array | None = None) -> mx.array:
        """Draw standard normal noise for `excite`; the same key gives the same noise."""
        return mx.random.normal(self.noise_shape(prosody), key=key)

    def excite(self, prosody: Prosody, noise: mx.array) -> mx.array:
        """Return the spectrum of the harmonics and noise of a voice, evaluated.

        Shapes: noise as `noise_shape` says -> [1, frames, n_fft + 2] float32.
        """
        excitation = self.decoder.generator.excitation(prosody.f0, noise)
        mx.eval(excitation)
        return excitation

    def decode(self, prosody: Prosody, style: mx.array, excitation: mx.array) -> mx.array:
        """Decode a prosody to audio, evaluated.

        Shapes: style [1, 2 · style_dim], excitation as `excite` returns it -> [T · samples_per_frame] float32.
        """
        style = style[:, : self.config.style_dim].astype(self._dtype)
        audio = self.decoder(prosody.text_features, prosody.f0, prosody.energy, excitation, style)[0]
        mx.eval(tap("audio", audio))
        return audio

    @property
    def _dtype(self) -> mx.Dtype:
        return self.text_encoder.convs[0].weight.dtype

    def _check(self, ids: Sequence[int], style: mx.array, speed: float) -> mx.array:
        """Return the ids as an array [1, L] if all arguments are valid."""
        config = self.config
        tokens = [int(i) for i in ids]
        limit = config.plbert.max_position_embeddings
        if not 1 <= len(tokens) <= limit:
            raise UsageError(f"{len(tokens)} phoneme ids", fix=f"give 1 to {limit}, both end marks included")
        if unknown := [i for i in tokens if not 0 <= i < config.n_token]:
            raise UsageError(f"phoneme id {unknown[0]} is not in 0 … {config.n_token - 1}")
        if style.shape != (1, 2 * config.style_dim):
            raise UsageError(f"a style of shape {list(style.shape)}, expected {[1, 2 * config.style_dim]}")
        if not speed > 0:
            raise UsageError(f"speed is {speed}", fix="give a number above 0")
        return mx.array([tokens])
