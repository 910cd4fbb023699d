"""The vocoder: mel spectrogram to samples. Li et al. 2023, "HiFTNet"; Kaneko et al. 2022, "iSTFTNet"."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from ....audio.stft import hann_window
from ....backend import ops
from ....config import number
from ....nn.conv import Conv1d, ConvTranspose1d
from ....nn.istft_head import IstftHead
from ....nn.linear import linear
from ....nn.nsf import HarmonicSource
from ....nn.stream import Stream
from ....taps import tap

F0_LAYERS = 5
MAX_MAGNITUDE = 100.0
NOISE_FRAMES = 10  # that are drawn together
# The source's noise from one sample to another, whole signal or piece: (first, last + 1) -> [1, L, harmonics + 1].
Noise: TypeAlias = Callable[[int, int], mx.array]


@dataclass(frozen=True)
class HiftConfig:
    """The names are those of the yaml, with Hugging Face's where it has one. The numbers are CosyVoice2's."""

    sample_rate: int = 24000
    n_mels: int = 80
    base_channels: int = 512
    nb_harmonics: int = 8
    nsf_alpha: float = number(0.1, low=0)
    nsf_sigma: float = number(0.003, low=0)
    nsf_voiced_threshold: float = number(10.0, low=0)
    upsample_rates: tuple[int, ...] = (8, 5, 3)
    upsample_kernel_sizes: tuple[int, ...] = (16, 11, 7)
    n_fft: int = 16
    hop_length: int = 4
    resblock_kernel_sizes: tuple[int, ...] = (3, 7, 11)
    resblock_dilation_sizes: tuple[tuple[int, ...], ...] = ((1, 3, 5), (1, 3, 5), (1, 3, 5))
    source_resblock_kernel_sizes: tuple[int, ...] = (7, 7, 11)
    source_resblock_dilation_sizes: tuple[tuple[int, ...], ...] = ((1, 3, 5), (1, 3, 5), (1, 3, 5))
    lrelu_slope: float = number(0.1, low=0)
    audio_limit: float = number(0.99, low=0)
    f0_channels: int = 512

    def __post_init__(self) -> None:
        stages = len(self.upsample_rates)
        same = (self.upsample_kernel_sizes, self.source_resblock_kernel_sizes, self.source_resblock_dilation_sizes)
        if any(len(sizes) != stages for sizes in same):
            raise ValueError("upsample_rates, upsample_kernel_sizes and source_resblock_* differ in length")
        if len(self.resblock_kernel_sizes) != len(self.resblock_dilation_sizes):
            raise ValueError("resblock_kernel_sizes and resblock_dilation_sizes differ in length")
        if any(k < r or (k - r) % 2 for k, r in zip(self.upsample_kernel_sizes, self.upsample_rates, strict=True)):
            raise ValueError("each upsample_kernel_sizes must be its rate plus an even number")
        if any(k % 2 == 0 for k in (*self.resblock_kernel_sizes, *self.source_resblock_kernel_sizes)):
            raise ValueError("resblock_kernel_sizes and source_resblock_kernel_sizes must be odd")
        if self.base_channels % 2**stages:
            raise ValueError(f"base_channels {self.base_channels} cannot be halved {stages} times")

    @property
    def samples_per_frame(self) -> int:
        return math.prod(self.upsample_rates) * self.hop_length

    @classmethod
    def tiny(cls) -> "HiftConfig":
        return cls(base_channels=64, f0_channels=32)


class F0Predictor(nn.Module):
    """Pitch by frame. Shapes: mel [B, T, n_mels] -> [B, T] in Hz, float32.

    In float64 until the end: the source sums the pitch up, and a last bit that came out otherwise in another piece of
    the mel would be heard as another phase. Hence the CPU stream: GPUs have no float64.
    """

    def __init__(self, config: HiftConfig) -> None:
        super().__init__()
        size = config.f0_channels
        self.convs = [WideConv1d(size if i else config.n_mels, size, 3, padding=1) for i in range(F0_LAYERS)]
        self.classifier = nn.Linear(size, 1)

    def __call__(self, x: mx.array, stream: Stream) -> mx.array:
        with mx.stream(mx.cpu):
            for conv in self.convs:
                x = ops.elu(stream.conv1d(conv, x.astype(mx.float64)))
            return mx.abs(linear(self.classifier, x)).squeeze(-1).astype(mx.float32)


class WideConv1d(Conv1d):
    """A Conv1d of stride 1 in float64 by NumPy, which is 30 times as fast as MLX with the BLAS of its Linux wheel."""

    def __call__(
        self, x: mx.array, add: mx.array | None = None, padding: int | tuple[int, int] | None = None
    ) -> mx.array:
        ends = self.padding if padding is None else padding
        wide = np.pad(np.array(x), [(0, 0), (ends, ends) if isinstance(ends, int) else ends, (0, 0)])
        taps, bias = self._wide()
        length = wide.shape[1] - len(taps) + 1
        y = bias + sum(wide[:, k : k + length] @ tap for k, tap in enumerate(taps))
        y = mx.array(y, dtype=mx.float64)
        return y if add is None else y + add

    def _wide(self) -> tuple[np.ndarray, np.ndarray]:
        """Shapes: -> [K, D_in, D_out], [D_out]. Made once: it takes longer than the product."""
        kept = self.__dict__.get("_made")
        if kept is None or kept[0] is not self.weight or kept[1] is not self.bias:
            weight, bias = (np.array(a.astype(mx.float32), dtype=np.float64) for a in (self.weight, self.bias))
            kept = (self.weight, self.bias, np.ascontiguousarray(weight.transpose(1, 2, 0)), bias)
            self.__dict__["_made"] = kept
        return kept[2:]


class ResBlock(nn.Module):
    """For each dilation: snake, dilated convolution, snake, convolution, added to the input.

    Shapes: x [B, L, D] -> [B, L, D]. Source: Kong et al. 2020 (HiFi-GAN), appendix A; Ziyin et al. 2020 (snake).
    """

    def __init__(self, channels: int, kernel_size: int, dilations: tuple[int, ...]) -> None:
        super().__init__()
        half = (kernel_size - 1) // 2
        self.convs1 = [Conv1d(channels, channels, kernel_size, padding=half * d, dilation=d) for d in dilations]
        self.convs2 = [Conv1d(channels, channels, kernel_size, padding=half) for _ in dilations]
        self.alphas1 = [mx.ones(channels) for _ in dilations]
        self.alphas2 = [mx.ones(channels) for _ in dilations]

    def __call__(self, x: mx.array, stream: Stream) -> mx.array:
        pairs = zip(self.alphas1, self.convs1, self.alphas2, self.convs2, strict=True)
        for alpha1, conv1, alpha2, conv2 in pairs:
            y = stream.conv1d(conv1, snake(x, alpha1))
            x = stream.conv1d(conv2, snake(y, alpha2), add=x)
        mx.eval(x)  # blocks evaluated together would take turns, and none would find its arrays in the cache
        return x


def snake(x: mx.array, alpha: mx.array) -> mx.array:
    """The reference's snake, which is finite at alpha = 0."""
    return ops.snake(x, alpha + 1e-9)


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


class HiftStream:
    """The vocoder over a mel that arrives in pieces; all outputs joined are those of `Hift` for the whole mel.

    A sample is given as soon as all the mel that it depends on is there, about 20 frames after it with the published
    numbers. Nothing is computed twice, and there is nothing to cross-fade.
    """

    def __init__(self, hift: Hift, noise: Noise) -> None:
        self._hift, self._noise = hift, noise
        self._pitch, self._decoder = Stream(), Stream()
        self._waiting = mx.zeros((1, 0, hift.config.n_mels))  # mel that is not in the network yet
        self._f0 = mx.zeros((1, 0))
        self._samples = 0  # of the source so far

    def feed(self, mel: mx.array) -> mx.array:
        """Shapes: mel [1, t, n_mels] -> audio [1, n], n >= 0."""
        self._waiting = mx.concatenate([self._waiting, mel], axis=1)
        enough = frames_ahead(self._hift.config) if self._pitch.first else 0
        return self._run(final=False) if self._waiting.shape[1] > enough else mx.zeros((1, 0))

    def finish(self) -> mx.array:
        """The samples that were held back; none if no frame was fed. Shapes: -> audio [1, n]."""
        nothing = self._pitch.first and not self._waiting.shape[1]
        return mx.zeros((1, 0)) if nothing else self._run(final=True)

    def _run(self, final: bool) -> mx.array:
        mel, self._waiting = self._waiting, self._waiting[:, :0]
        with self._pitch.piece(final) as stream:
            self._f0 = mx.concatenate([self._f0, self._hift.f0_predictor(mel, stream)], axis=1)
        step = self._hift.config.samples_per_frame
        # Between two frames' centres the phase is interpolated, so that the last half frame waits for the next one.
        end = self._f0.shape[1] * step - (0 if final else step // 2)
        source = self._hift.source(self._f0, self._noise(self._samples, end), self._samples)
        self._samples = end
        with self._decoder.piece(final) as stream:
            audio = self._hift.decode(mel, source, stream)
        mx.eval(audio, self._f0, self._pitch.memory, self._decoder.memory)
        return audio


def frames_ahead(config: HiftConfig) -> int:
    """At most so many frames of mel after a sample have a part in it."""

    def reach(kernel: int, dilations: tuple[int, ...]) -> int:
        return sum((kernel - 1) // 2 * (dilation + 1) for dilation in dilations)

    shapes = list(zip(config.resblock_kernel_sizes, config.resblock_dilation_sizes, strict=True))
    steps, source = 4.0, 0.0  # of this stage: conv_post and its half frame; frames of the source
    for i in reversed(range(len(config.upsample_rates))):
        steps += max(reach(*shape) for shape in shapes)
        per_frame = math.prod(config.upsample_rates[: i + 1])
        own = reach(config.source_resblock_kernel_sizes[i], config.source_resblock_dilation_sizes[i])
        source = max(source, (steps + own + 2) / per_frame)
        steps = (steps + config.upsample_kernel_sizes[i]) / config.upsample_rates[i]
    return math.ceil(max(steps + 3, source + F0_LAYERS + 1))
