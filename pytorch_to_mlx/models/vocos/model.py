"""Vocos: mel spectrograms to audio by ConvNeXt at the rate of the frames, and an inverse Fourier transform.

Source: Siuzdak 2023, "Vocos"; gemelo-ai/vocos@c859e3b7, vocos/models.py and heads.py.
"""

import mlx.core as mx
import mlx.nn as nn

from ...audio.stft import hann_window, overlap_add, spectrum, squared_envelope
from ...backend import ops
from ...nn.conv import Conv1d
from ...nn.convnext import ConvNeXtBlock
from ...nn.istft_head import IstftHead, unwrapped
from ...nn.linear import linear
from ...nn.norm import LayerNorm
from ...taps import tap
from .config import Config

MAX_MAGNITUDE = 100.0
_NORM_EPS = 1e-6


class Model(nn.Module):
    """Features of each frame from seven mels around it, ConvNeXt blocks, and the spectrum of each frame."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self._config = config
        size = config.hidden_size
        self.embed = Conv1d(config.n_mels, size, 7, padding=3)
        self.norm = LayerNorm(size, eps=_NORM_EPS)
        self.layers = [ConvNeXtBlock(size, config.intermediate_size) for _ in range(config.num_layers)]
        self.final_norm = LayerNorm(size, eps=_NORM_EPS)
        self.out_proj = nn.Linear(size, config.n_fft + 2)
        self._head = IstftHead(config.n_fft, config.hop_length, MAX_MAGNITUDE, phase=unwrapped)

    @property
    def config(self) -> Config:
        """The sizes that it was built with."""
        return self._config

    def __call__(self, mel: mx.array) -> mx.array:
        """Return the audio of mels, of at least two frames where padding is "center".

        Shapes: mel [B, T, n_mels] -> [B, (T - 1) · hop_length] float32, of padding "same" [B, T · hop_length].
        """
        x = self.norm(self.embed(mel.astype(self.embed.weight.dtype)))
        for layer in self.layers:
            x = layer(x)
        x = tap("features", linear(self.out_proj, self.final_norm(x)))
        audio = self._head(x) if self.config.padding == "center" else self._whole_frames(x)
        return tap("audio", audio)

    def _whole_frames(self, x: mx.array) -> mx.array:
        """Return a hop of audio for each frame, with half a window less a hop cut off at both ends.

        Shapes: x [B, T, n_fft + 2] -> [B, T · hop_length]. Source: `ISTFT` of vocos/spectral_ops.py.
        """
        n_fft, hop_length = self.config.n_fft, self.config.hop_length
        log_magnitude, phase = mx.split(x.astype(mx.float32), 2, axis=-1)
        spec = spectrum(mx.minimum(ops.exp(log_magnitude), MAX_MAGNITUDE), phase)
        window = hann_window(n_fft)
        samples = overlap_add(mx.fft.irfft(spec, n=n_fft) * window, hop_length)
        cut = (n_fft - hop_length) // 2
        envelope = squared_envelope(window, x.shape[1], hop_length)
        return (samples / mx.maximum(envelope, 1e-11))[:, cut:-cut]
