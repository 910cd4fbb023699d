"""The vocoder: mel spectrogram to samples. Li et al. 2023, "HiFTNet"; Kaneko et al. 2022, "iSTFTNet"."""

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
NOISE_FRAMES = 10  # that are drawn together


class Hift(nn.Module):
    """A harmonic source from the pitch, its spectrum added while the mel is upsampled, and an inverse STFT.

    Shapes: mel [1, T, n_mels] -> audio [1, T · samples_per_frame].
    """

    def __init__(self, config: HiftConfig) -> None:
        super().__init__()
        self.config = config
        self.f0_predictor = F0Predictor(config)
        self.source = HarmonicSource(
            sample_rate=config.sample_rate,
            upsample=config.samples_per_frame,
            harmonics=config.nb_harmonics,
            amplitude=config.nsf_alpha,
            noise_std=config.nsf_sigma,
            voiced_threshold=config.nsf_voiced_threshold,
        )
        spectrum = config.n_fft + 2
        self.conv_pre = Conv1d(config.n_mels, config.base_channels, 7, padding=3)
        self.ups, self.source_downs, self.source_blocks, self.blocks = [], [], [], []
        for i, (rate, kernel) in enumerate(zip(config.upsample_rates, config.upsample_kernel_sizes, strict=True)):
            wide, size = (config.base_channels // 2 ** (i + j) for j in (0, 1))
            self.ups.append(ConvTranspose1d(wide, size, kernel, stride=rate, padding=(kernel - rate) // 2))
            down = math.prod(config.upsample_rates[i + 1 :])  # source frames for each step of this stage
            sizes = (2 * down, down, down // 2) if down > 1 else (1, 1, 0)
            self.source_downs.append(Conv1d(spectrum, size, sizes[0], stride=sizes[1], padding=sizes[2]))
            dilations = config.source_resblock_dilation_sizes[i]
            self.source_blocks.append(ResBlock(size, config.source_resblock_kernel_sizes[i], dilations))
            shapes = zip(config.resblock_kernel_sizes, config.resblock_dilation_sizes, strict=True)
            self.blocks += [ResBlock(size, kernel, dilations) for kernel, dilations in shapes]
        self.conv_post = Conv1d(config.base_channels >> len(self.ups), spectrum, 7, padding=3)
        self.head = IstftHead(config.n_fft, config.hop_length, MAX_MAGNITUDE)
        self._window = hann_window(config.n_fft)

    def __call__(self, mel: mx.array, noise: mx.array) -> mx.array:
        """Shapes: noise [1, T · samples_per_frame, nb_harmonics + 1] standard normal."""
        f0 = tap("f0", self.f0_predictor(mel, Stream()))
        return self.decode(mel, tap("source", self.source(f0, noise)), Stream())

    def decode(self, mel: mx.array, source: mx.array, stream: Stream) -> mx.array:
        """Shapes: mel [1, T, n_mels], source [1, T · samples_per_frame] -> audio, the same length."""
        config = self.config
        spec = stream.stft(source, n_fft=config.n_fft, hop_length=config.hop_length, window=self._window)
        spec = mx.concatenate([mx.real(spec), mx.imag(spec)], axis=-1)  # [1, F, n_fft + 2]
        x = stream.conv1d(self.conv_pre, mel)
        width = len(config.resblock_kernel_sizes)
        stages = zip(self.ups, self.source_downs, self.source_blocks, strict=True)
        for i, (up, source_down, source_block) in enumerate(stages):
            x = stream.conv_transpose1d(up, ops.leaky_relu(x, config.lrelu_slope))
            if i == len(self.ups) - 1 and stream.first:
                x = mx.concatenate([x[:, 1:2], x], axis=1)  # reflect one step: istft needs one frame more than hops
            x = stream.add(x, source_block(stream.conv1d(source_down, spec), stream))
            outputs = [block(x, stream) for block in self.blocks[i * width : (i + 1) * width]]
            x = stream.add(*outputs, scale=1 / width)
            mx.eval(x, stream.memory)
        x = stream.conv1d(self.conv_post, ops.leaky_relu(x, 0.01))
        return mx.clip(self.head(x, stream), -config.audio_limit, config.audio_limit)

    def noise(self, seed: int) -> Noise:
        """The source's noise: standard normal; the same for a seed on any machine, however it is cut into pieces."""
        step, channels = NOISE_FRAMES * self.config.samples_per_frame, self.config.nb_harmonics + 1

        def block(number: int) -> np.ndarray:
            generator = np.random.Generator(np.random.SFC64((seed, number)))
            return generator.standard_normal((1, step, channels), dtype=np.float32)

        def draw(start: int, end: int) -> mx.array:
            blocks = range(start // step, -(-end // step))
            noise = np.concatenate([block(number) for number in blocks], axis=1)
            return mx.array(noise[:, start - blocks.start * step : end - blocks.start * step])

        return draw
