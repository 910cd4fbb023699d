"""The vocoder: mel spectrogram to samples. Li et al. 2023, "HiFTNet"; Kaneko et al. 2022, "iSTFTNet".

Reference: HiFTGenerator, cosyvoice/hifigan/generator.py@ace7c47.
"""

import math

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from ....audio.stft import hann_window
from ....backend import ops
from ....nn.conv import Conv1d, ConvTranspose1d
from ....nn.istft_head import IstftHead
from ....nn.nsf import HarmonicSource
from ....nn.stream import Stream
from ....taps import tap
from .blocks import ResBlock
from .config import HiftConfig, Noise
from .f0 import F0Predictor

MAX_MAGNITUDE = 100.0
NOISE_FRAMES = 10  # frames whose noise is drawn together


class Hift(nn.Module):
    """Upsample the mel, add the spectrum of a harmonic source of its pitch at each stage, and invert the STFT.

    Shapes: mel [1, T, n_mels] -> audio [1, T · samples_per_frame].
    """

    SOURCE: type[HarmonicSource] = HarmonicSource

    def __init__(self, config: HiftConfig) -> None:
        super().__init__()
        self._config = config
        self.f0_predictor = F0Predictor(config)
        self.source = self.SOURCE(
            sample_rate=config.sample_rate,
            upsample=config.samples_per_frame,
            harmonics=config.nb_harmonics,
            amplitude=config.nsf_alpha,
            noise_std=config.nsf_sigma,
            voiced_threshold=config.nsf_voiced_threshold,
        )
        spectrum = config.n_fft + 2
        before, after = config.input_padding
        self.conv_pre = Conv1d(config.n_mels, config.base_channels, before + 1 + after, padding=(before, after))
        self.ups, self.source_downs, self.source_blocks, self.blocks = [], [], [], []
        for i, (rate, kernel) in enumerate(zip(config.upsample_rates, config.upsample_kernel_sizes, strict=True)):
            size_in, size = (config.base_channels // 2 ** (i + j) for j in (0, 1))
            self.ups.append(self.upsampler(size_in, size, kernel, rate))
            down = math.prod(config.upsample_rates[i + 1 :])  # source frames for each step of this stage
            kernel, padding = (2 * down, config.down_padding(down)) if down > 1 else (1, (0, 0))
            self.source_downs.append(Conv1d(spectrum, size, kernel, stride=down, padding=padding))
            dilations = config.source_resblock_dilation_sizes[i]
            self.source_blocks.append(ResBlock(size, config.source_resblock_kernel_sizes[i], dilations, config.padding))
            shapes = zip(config.resblock_kernel_sizes, config.resblock_dilation_sizes, strict=True)
            self.blocks += [ResBlock(size, kernel, dilations, config.padding) for kernel, dilations in shapes]
        self.conv_post = Conv1d(config.base_channels >> len(self.ups), spectrum, 7, padding=config.padding(6))
        self.head = IstftHead(config.n_fft, config.hop_length, MAX_MAGNITUDE)
        self._window = hann_window(config.n_fft)

    @property
    def config(self) -> HiftConfig:
        """The sizes that it was built with."""
        return self._config

    def __call__(self, mel: mx.array, noise: mx.array) -> mx.array:
        """Shapes: mel [1, T, n_mels], noise [1, T · samples_per_frame, nb_harmonics + 1] -> [1, T · samples_per_frame].

        noise: standard normal.
        """
        f0 = tap("f0", self.f0_predictor(mel, Stream()))
        return self.decode(mel, tap("source", self.source(f0, noise)), Stream())

    def decode(self, mel: mx.array, source: mx.array, stream: Stream) -> mx.array:
        """Return the audio of a mel and its source.

        Shapes: mel [1, T, n_mels], source [1, T · samples_per_frame] -> [1, T · samples_per_frame].
        """
        config = self.config
        spec = stream.stft(source, n_fft=config.n_fft, hop_length=config.hop_length, window=self._window)
        spec = mx.concatenate([mx.real(spec), mx.imag(spec)], axis=-1)  # [1, F, n_fft + 2]
        x = stream.conv1d(self.conv_pre, mel)
        width = len(config.resblock_kernel_sizes)
        stages = zip(self.ups, self.source_downs, self.source_blocks, strict=True)
        for i, (up, source_down, source_block) in enumerate(stages):
            x = self.upsample(up, ops.leaky_relu(x, config.lrelu_slope), config.upsample_rates[i], stream)
            if i == len(self.ups) - 1 and stream.first:
                x = mx.concatenate([x[:, 1:2], x], axis=1)  # reflect one step: istft needs one frame more than hops
            x = stream.add(x, source_block(stream.conv1d(source_down, spec), stream))
            outputs = [block(x, stream) for block in self.blocks[i * width : (i + 1) * width]]
            x = stream.add(*outputs, scale=1 / width)
            mx.eval(x, stream.memory)
        x = stream.conv1d(self.conv_post, ops.leaky_relu(x, 0.01))
        return mx.clip(self.head(x, stream), -config.audio_limit, config.audio_limit)

    def upsampler(self, size_in: int, size: int, kernel: int, rate: int) -> nn.Module:
        """Return the layer that `upsample` applies."""
        return ConvTranspose1d(size_in, size, kernel, stride=rate, padding=(kernel - rate) // 2)

    def upsample(self, layer: nn.Module, x: mx.array, rate: int, stream: Stream) -> mx.array:
        """Return the next piece at `rate` times its rate. Shapes: x [1, L, D_in] -> [1, rate · L, D_out]."""
        assert isinstance(layer, ConvTranspose1d)
        return stream.conv_transpose1d(layer, x)

    def noise(self, seed: int) -> Noise:
        """Return a drawer of standard normal noise: a seed gives the same on any machine, in whatever pieces."""
        return normal_noise(seed, NOISE_FRAMES * self.config.samples_per_frame, self.config.nb_harmonics + 1)


def normal_noise(seed: int, step: int, channels: int) -> Noise:
    """Return a drawer of standard normal noise, which draws `step` rows together. Shapes: -> see `Noise`."""

    def block(number: int) -> np.ndarray:
        generator = np.random.Generator(np.random.SFC64((seed, number)))
        return generator.standard_normal((1, step, channels), dtype=np.float32)

    def draw(start: int, end: int) -> mx.array:
        blocks = range(start // step, -(-end // step))
        noise = np.concatenate([block(number) for number in blocks], axis=1)
        return mx.array(noise[:, start - blocks.start * step : end - blocks.start * step])

    return draw
