"""The decoder: frames to samples with a harmonic source. Kaneko et al. 2022, "iSTFTNet"; Wang et al. 2019 (NSF)."""

import math

import mlx.core as mx
import mlx.nn as nn

from ...audio.stft import hann_window, stft
from ...backend import ops
from ...nn.conv import Conv1d, ConvTranspose1d
from ...nn.istft_head import IstftHead
from ...nn.linear import linear
from ...nn.nsf import HarmonicSource
from ...taps import tap
from .blocks import SnakeBlock, StyleBlock
from .config import SAMPLE_RATE, Config

VOICED_ABOVE_HZ = 10


class Generator(nn.Module):
    """Upsample, add the source's spectrum at each stage, and predict the spectrum of the speech.

    Source: Kaneko et al. 2022, figure 1 (c); Generator of kokoro 0.9.4, kokoro/istftnet.py.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        net, style = config.istftnet, config.style_dim
        self.n_fft, self.hop_length = net.gen_istft_n_fft, net.gen_istft_hop_size
        self.frames_per_pitch = math.prod(net.upsample_rates)
        self.source = HarmonicSource(
            sample_rate=SAMPLE_RATE, upsample=net.samples_per_pitch, voiced_threshold=VOICED_ABOVE_HZ
        )
        self.ups, self.noise_convs, self.noise_blocks, self.blocks = [], [], [], []
        stages, size = len(net.upsample_rates), net.upsample_initial_channel
        for i, (rate, kernel) in enumerate(zip(net.upsample_rates, net.upsample_kernel_sizes, strict=True)):
            wide, size = (net.upsample_initial_channel // 2 ** (i + j) for j in (0, 1))
            self.ups.append(ConvTranspose1d(wide, size, kernel, stride=rate, padding=(kernel - rate) // 2))
            stride = math.prod(net.upsample_rates[i + 1 :])  # source frames for each step of this stage
            last = i == stages - 1
            sizes = (1, 1, 0) if last else (2 * stride, stride, (stride + 1) // 2)
            self.noise_convs.append(Conv1d(self.n_fft + 2, size, sizes[0], stride=sizes[1], padding=sizes[2]))
            self.noise_blocks.append(SnakeBlock(size, 11 if last else 7, (1, 3, 5), style))
            kernels = zip(net.resblock_kernel_sizes, net.resblock_dilation_sizes, strict=True)
            self.blocks += [SnakeBlock(size, kernel, dilations, style) for kernel, dilations in kernels]
        self.blocks_per_stage = len(net.resblock_kernel_sizes)
        self.conv_post = Conv1d(size, self.n_fft + 2, 7, padding=3)
        self.head = IstftHead(self.n_fft, self.hop_length)
        self._window = hann_window(self.n_fft)

    def excitation(self, f0: mx.array, noise: mx.array) -> mx.array:
        """Return the magnitudes and phases of the harmonic source.

        Shapes: f0 [B, 2T] in Hz, noise [B, 2T · samples_per_pitch, 9] -> spec, as `__call__` takes it, float32.
        """
        source = tap("source", self.source(f0, noise))
        spec = stft(source, n_fft=self.n_fft, hop_length=self.hop_length, window=self._window)
        angle = mx.arctan2(mx.imag(spec), mx.real(spec))
        return tap("excitation", mx.concatenate([mx.abs(spec), angle], axis=-1))

    def __call__(self, x: mx.array, spec: mx.array, style: mx.array) -> mx.array:
        """Generate audio from the decoder's features and the spectrum of the source.

        Shapes: x [B, 2T, upsample_initial_channel], spec [B, 2T · frames_per_pitch + 1, n_fft + 2], style [B, S]
        -> [B, 2T · samples_per_pitch].
        """
        spec = spec.astype(x.dtype)
        stages = zip(self.ups, self.noise_convs, self.noise_blocks, strict=True)
        for i, (up, noise_conv, noise_block) in enumerate(stages):
            harmonics = noise_block(noise_conv(spec), style)
            x = up(ops.leaky_relu(x, 0.1))
            if i == len(self.ups) - 1:
                x = mx.concatenate([x[:, 1:2], x], axis=1)  # reflect one step: istft needs one frame more than hops
            x = ops.add(x, harmonics)
            blocks = self.blocks[i * self.blocks_per_stage : (i + 1) * self.blocks_per_stage]
            x = ops.add(*(block(x, style) for block in blocks), scale=1 / len(blocks))
            mx.eval(x)
        return self.head(self.conv_post(ops.leaky_relu(x, 0.01)))


class Decoder(nn.Module):
    """Style blocks over text features, pitch and energy, then the generator.

    Source: Decoder of kokoro 0.9.4, kokoro/istftnet.py.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        size, residual, style = config.decoder_dim, config.decoder_residual_dim, config.style_dim
        self.f0_conv = Conv1d(1, 1, 3, stride=2, padding=1)
        self.n_conv = Conv1d(1, 1, 3, stride=2, padding=1)
        self.asr_proj = nn.Linear(config.hidden_dim, residual)
        self.encode = StyleBlock(config.hidden_dim + 2, size, style)
        inner = size + residual + 2
        self.decode = [StyleBlock(inner, size, style) for _ in range(3)]
        self.decode.append(StyleBlock(inner, config.istftnet.upsample_initial_channel, style, upsample=True))
        self.generator = Generator(config)

    def __call__(self, text: mx.array, f0: mx.array, energy: mx.array, spec: mx.array, style: mx.array) -> mx.array:
        """Decode frames to audio.

        Shapes: text [B, T, hidden_dim], f0 and energy [B, 2T], spec as `Generator.excitation` returns it, style [B, S]
        -> [B, T · samples_per_frame].
        """
        return self.generator(self.features(text, f0, energy, style), spec, style)

    def features(self, text: mx.array, f0: mx.array, energy: mx.array, style: mx.array) -> mx.array:
        """Return the generator's input, evaluated. Shapes: as `__call__` -> [B, 2T, upsample_initial_channel]."""
        curves = [self.f0_conv(f0[..., None]), self.n_conv(energy[..., None])]  # [B, T, 1] each
        x = self.encode(mx.concatenate([text, *curves], axis=-1), style)
        residual = linear(self.asr_proj, text)
        for block in self.decode:
            x = block(mx.concatenate([x, residual, *curves], axis=-1), style)
        mx.eval(x)
        return x
