"""CAM++: a voice as 192 numbers. Wang et al. 2023, "CAM++", figure 1.

As the released campplus.onnx has it: batch norms that follow a convolution are folded into it.
Reference: modelscope/3D-Speaker, speakerlab/models/campplus/{DTDNN,layers}.py@09e7806.
"""

from dataclasses import dataclass

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from ....audio.kaldi_fbank import kaldi_fbank
from ....backend import ops
from ....errors import UsageError
from ....nn.conv import Conv1d
from ....taps import tap

SEGMENT = 100  # frames of local context
EPSILON = 1e-5  # of the batch norms


@dataclass(frozen=True)
class CamPPlusConfig:
    """block_layers: how many dense layers each block has; every layer adds growth_rate channels."""

    n_mels: int = 80
    embedding_size: int = 192
    head_channels: int = 32
    init_channels: int = 128
    growth_rate: int = 32
    bn_channels: int = 128
    block_layers: tuple[int, ...] = (12, 24, 16)

    def __post_init__(self) -> None:
        if self.n_mels % 8 or len(self.block_layers) != 3 or self.bn_channels % 2:
            raise ValueError("n_mels must divide by 8, bn_channels by 2, and there are three blocks")

    @classmethod
    def tiny(cls) -> "CamPPlusConfig":
        return cls(head_channels=4, init_channels=16, growth_rate=8, bn_channels=16, block_layers=(2, 2, 1))


def speaker_features(samples: np.ndarray | mx.array) -> mx.array:
    """What CAM++ hears of a recording: Kaldi's filter bank without each band's mean.

    Shapes: samples [L] at 16 kHz, in [-1, 1] -> [1, T, 80].
    """
    fbank = kaldi_fbank(samples)
    return (fbank - fbank.mean(axis=0, keepdims=True))[None]


class Conv2d(nn.Module):
    """Kernel 3 with padding 1, or kernel 1; the stride halves the mel axis only. Shapes: [B, F, T, D] -> the same."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__()
        self.weight = mx.random.normal((out_channels, kernel, kernel, in_channels)) / (kernel * in_channels**0.5)
        self.bias = mx.zeros(out_channels)
        self.stride = (stride, 1)

    def __call__(self, x: mx.array) -> mx.array:
        return ops.conv2d(x, self.weight, self.bias, stride=self.stride, padding=self.weight.shape[1] // 2)


class BatchNormReLU(nn.Module):
    """relu of a batch norm with the training's statistics, over the last axis."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.weight, self.bias = mx.ones(size), mx.zeros(size)
        self.running_mean, self.running_var = mx.zeros(size), mx.ones(size)

    def __call__(self, x: mx.array) -> mx.array:
        scale = self.weight * mx.rsqrt(self.running_var + EPSILON)
        return mx.maximum(x * scale + (self.bias - self.running_mean * scale), 0)


class ResidualBlock(nn.Module):
    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = Conv2d(channels, channels, stride=stride)
        self.conv2 = Conv2d(channels, channels)
        if stride > 1:
            self.shortcut = Conv2d(channels, channels, kernel=1, stride=stride)

    def __call__(self, x: mx.array) -> mx.array:
        y = self.conv2(nn.relu(self.conv1(x)))
        return nn.relu(y + (self.shortcut(x) if "shortcut" in self else x))


class Head(nn.Module):
    """The front end: the spectrogram as an image, its mel axis reduced to an eighth."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = Conv2d(1, channels)
        self.layer1 = [ResidualBlock(channels, 2), ResidualBlock(channels, 1)]
        self.layer2 = [ResidualBlock(channels, 2), ResidualBlock(channels, 1)]
        self.conv2 = Conv2d(channels, channels, stride=2)

    def __call__(self, fbank: mx.array) -> mx.array:
        """Shapes: fbank [B, T, M] -> [B, T, D * M/8], channels outermost."""
        x = nn.relu(self.conv1(fbank.swapaxes(1, 2)[..., None]))  # [B, M, T, D]
        for block in (*self.layer1, *self.layer2):
            x = block(x)
        x = nn.relu(self.conv2(x))  # [B, M/8, T, D]
        return x.transpose(0, 2, 3, 1).reshape(x.shape[0], x.shape[2], -1)


class DenseLayer(nn.Module):
    """Context-aware masking: a dilated convolution, gated by the mean of the whole recording and of the segment."""

    def __init__(self, in_channels: int, config: CamPPlusConfig, dilation: int) -> None:
        super().__init__()
        narrow = config.bn_channels
        self.norm = BatchNormReLU(in_channels)
        self.linear = nn.Linear(in_channels, narrow)
        self.local = Conv1d(narrow, config.growth_rate, 3, padding=dilation, dilation=dilation, bias=False)
        self.gate1 = nn.Linear(narrow, narrow // 2)
        self.gate2 = nn.Linear(narrow // 2, config.growth_rate)

    def __call__(self, x: mx.array) -> mx.array:
        """Shapes: x [B, T, D] -> [B, T, growth_rate]."""
        x = nn.relu(ops.linear(self.norm(x), self.linear.weight, self.linear.bias))
        segments = segment_means(x)
        context = x.mean(axis=1, keepdims=True) + segments  # [B, ceil(T / 100), D]
        hidden = nn.relu(ops.linear(context, self.gate1.weight, self.gate1.bias))
        gate = mx.sigmoid(ops.linear(hidden, self.gate2.weight, self.gate2.bias))
        return self.local(x) * mx.repeat(gate, SEGMENT, axis=1)[:, : x.shape[1]]


def segment_means(x: mx.array) -> mx.array:
    """The mean of every 100 frames, the last one of what is left. Shapes: x [B, T, D] -> [B, ceil(T / 100), D]."""
    batch, length, size = x.shape
    count = -(-length // SEGMENT)
    padded = mx.pad(x, [(0, 0), (0, count * SEGMENT - length), (0, 0)])
    frames = mx.minimum(SEGMENT, length - SEGMENT * mx.arange(count))
    return padded.reshape(batch, count, SEGMENT, size).sum(axis=2) / frames[:, None]


class DenseBlock(nn.Module):
    """Layers that each see the output of all before them, then a norm and half the channels.

    The layers are attributes with the original's names, tdnnd1 and so on, because those count from 1.
    """

    def __init__(
        self, in_channels: int, layers: int, config: CamPPlusConfig, *, dilation: int, bias: bool = False
    ) -> None:
        super().__init__()
        self._layers = [f"tdnnd{i + 1}" for i in range(layers)]
        for i, name in enumerate(self._layers):
            self[name] = DenseLayer(in_channels + i * config.growth_rate, config, dilation)
        width = in_channels + layers * config.growth_rate
        self.norm = BatchNormReLU(width)
        self.transit = nn.Linear(width, width // 2, bias=bias)

    def __call__(self, x: mx.array) -> mx.array:
        for name in self._layers:
            x = mx.concatenate([x, self[name](x)], axis=-1)
        return ops.linear(self.norm(x), self.transit.weight, self.transit.get("bias"))


class CamPPlus(nn.Module):
    def __init__(self, config: CamPPlusConfig) -> None:
        super().__init__()
        channels = config.init_channels
        self.head = Head(config.head_channels)
        self.tdnn = Conv1d(config.head_channels * config.n_mels // 8, channels, 5, stride=2, padding=2)
        first, second, third = config.block_layers
        self.block1 = DenseBlock(channels, first, config, dilation=1)
        channels = (channels + first * config.growth_rate) // 2
        self.block2 = DenseBlock(channels, second, config, dilation=2)
        channels = (channels + second * config.growth_rate) // 2
        self.block3 = DenseBlock(channels, third, config, dilation=2, bias=True)  # of the norm after it
        channels = (channels + third * config.growth_rate) // 2
        self.dense = nn.Linear(2 * channels, config.embedding_size, bias=False)
        self.running_mean, self.running_var = mx.zeros(config.embedding_size), mx.ones(config.embedding_size)

    def __call__(self, fbank: mx.array) -> mx.array:
        """Shapes: fbank [B, T, M] -> [B, embedding_size], of any length.

        Raises: UsageError under 3 frames, which have no spread.
        """
        if fbank.shape[1] < 3:
            raise UsageError(f"{fbank.shape[1]} frames of audio are too few for a voice", fix="give at least 0.05 s")
        x = self.head(fbank)
        x = nn.relu(self.tdnn(x))  # [B, T/2, D]
        x = nn.relu(self.block3(self.block2(self.block1(x))))
        x = mx.concatenate([x.mean(axis=1), mx.sqrt(x.var(axis=1, ddof=1))], axis=-1)
        x = ops.linear(x, self.dense.weight)
        return tap("speaker", (x - self.running_mean) * mx.rsqrt(self.running_var + EPSILON))
