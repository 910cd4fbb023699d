"""The flow's estimator: a causal U-Net of one resolution, with transformers, that predicts the velocity of the mel.

Reference: CausalConditionalDecoder, cosyvoice/flow/decoder.py@ace7c47.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from ....backend import ops
from ....nn.conv import Conv1d
from ....nn.linear import linear
from ....nn.norm import LayerNorm
from ....nn.positions import sinusoids_at
from ....nn.stream import Stream

TIME_SCALE = 1000
WIDENING = 4  # width of the time embedding and of the feed-forward layers, in `channels`


@dataclass(frozen=True)
class EstimatorConfig:
    """Sizes of the estimator; the defaults are CosyVoice 2's. num_transformer_layers: in each stage."""

    channels: int = 256
    num_attention_heads: int = 8
    head_dim: int = 64
    num_mid_blocks: int = 12
    num_transformer_layers: int = 4

    @property
    def values_per_frame(self) -> int:
        """Numbers that a stream keeps of a frame in each row and evaluation: what every layer attends to."""
        return (self.num_mid_blocks + 2) * self.num_transformer_layers * self.channels

    @classmethod
    def tiny(cls) -> "EstimatorConfig":
        """Return small sizes for tests."""
        return cls(channels=32, num_attention_heads=2, head_dim=16, num_mid_blocks=1, num_transformer_layers=1)


class ConvBlock(nn.Module):
    """Causal convolution, norm over the channels, mish."""

    def __init__(self, dim_in: int, dim_out: int) -> None:
        super().__init__()
        self.conv = causal(dim_in, dim_out)
        self.norm = LayerNorm(dim_out)

    def __call__(self, x: mx.array, stream: Stream) -> mx.array:
        """Shapes: x [B, T, D_in] -> [B, T, D_out]."""
        return ops.mish(self.norm(stream.conv1d(self.conv, x)))


class ResBlock(nn.Module):
    """Two convolution blocks with the time added between them, plus a shortcut."""

    def __init__(self, dim_in: int, dim_out: int, conv_block: Callable[[int, int], nn.Module]) -> None:
        super().__init__()
        self.block1, self.block2 = conv_block(dim_in, dim_out), conv_block(dim_out, dim_out)
        self.time_proj = nn.Linear(WIDENING * dim_out, dim_out)
        self.shortcut = nn.Linear(dim_in, dim_out)

    def __call__(self, x: mx.array, time: mx.array, stream: Stream) -> mx.array:
        """Shapes: x [B, T, D_in], time [1, 4 · D_out] -> [B, T, D_out]."""
        y = self.block1(x, stream) + linear(self.time_proj, ops.mish(time))[:, None]
        return self.block2(y, stream) + linear(self.shortcut, x)


class TransformerLayer(nn.Module):
    """Pre-norm attention and feed-forward.

    A stream keeps the steps that it attends to, whose keys and values are computed again: those are four times as many
    numbers, and take more memory than the time is worth.
    """

    def __init__(self, config: EstimatorConfig) -> None:
        super().__init__()
        size, inner = config.channels, config.num_attention_heads * config.head_dim
        self.num_attention_heads, self.scale = config.num_attention_heads, 1 / math.sqrt(config.head_dim)
        self.attention_norm = LayerNorm(size)
        self.q_proj, self.kv_proj = nn.Linear(size, inner, bias=False), nn.Linear(size, 2 * inner, bias=False)
        self.o_proj = nn.Linear(inner, size)
        self.norm = LayerNorm(size)
        self.up_proj = nn.Linear(size, WIDENING * size)
        self.down_proj = nn.Linear(WIDENING * size, size)

    def __call__(self, x: mx.array, stream: Stream, mask: mx.array | None) -> mx.array:
        """Shapes: x [B, T, D], mask [T, S] of all steps so far, the last T of them x -> [B, T, D]."""
        batch, length, _ = x.shape
        steps = self.attention_norm(x)
        q = linear(self.q_proj, steps).reshape(batch, length, self.num_attention_heads, -1)
        kv = linear(self.kv_proj, stream.history(steps)).reshape(batch, -1, 2, self.num_attention_heads, q.shape[-1])
        y = ops.attention(*(y.swapaxes(1, 2) for y in (q, kv[:, :, 0], kv[:, :, 1])), scale=self.scale, mask=mask)
        x = x + linear(self.o_proj, y.swapaxes(1, 2).reshape(batch, length, -1))
        return x + linear(self.down_proj, ops.gelu(linear(self.up_proj, self.norm(x))))


class Stage(nn.Module):
    """A residual block and its transformer layers. conv_block: makes a block of so many channels in and out."""

    def __init__(
        self, dim_in: int, config: EstimatorConfig, conv_block: Callable[[int, int], nn.Module] = ConvBlock
    ) -> None:
        super().__init__()
        self.resnet = ResBlock(dim_in, config.channels, conv_block)
        self.layers = [TransformerLayer(config) for _ in range(config.num_transformer_layers)]

    def __call__(self, x: mx.array, time: mx.array, stream: Stream, mask: mx.array | None) -> mx.array:
        """Shapes: x [B, T, D_in], time [1, 4 · D_out], mask [T, S] -> [B, T, D_out]."""
        x = self.resnet(x, time, stream)
        for layer in self.layers:
            x = layer(x, stream, mask)
        return x


class Estimator(nn.Module):
    """Predict the velocity from x, the encoder's mel, the speaker and the prompt's mel, side by side."""

    def __init__(self, config: EstimatorConfig, n_mels: int) -> None:
        super().__init__()
        size = config.channels
        self.time_channels = 4 * n_mels
        self.time_proj1 = nn.Linear(self.time_channels, WIDENING * size)
        self.time_proj2 = nn.Linear(WIDENING * size, WIDENING * size)
        self.down = Stage(4 * n_mels, config)
        self.down_conv = causal(size, size)
        self.mid = [Stage(size, config) for _ in range(config.num_mid_blocks)]
        self.up = Stage(2 * size, config)
        self.up_conv = causal(size, size)
        self.final_block = ConvBlock(size, size)
        self.final_proj = nn.Linear(size, n_mels)

    def __call__(
        self, x: mx.array, condition: mx.array, t: float, stream: Stream, mask: mx.array | None = None
    ) -> mx.array:
        """Return the velocity at time t.

        Shapes: x [B, T, n_mels], condition [B, T, 3 · n_mels], mask [T, S] -> [B, T, n_mels].
        """
        time = embed_time(t, self.time_channels, self.time_proj1, self.time_proj2)
        skip = self.down(mx.concatenate([x, condition], axis=-1), time, stream, mask)
        x = stream.conv1d(self.down_conv, skip)
        for stage in self.mid:
            x = stage(x, time, stream, mask)
        x = self.up(mx.concatenate([x, skip], axis=-1), time, stream, mask)
        x = self.final_block(stream.conv1d(self.up_conv, x), stream)
        return linear(self.final_proj, x)


def embed_time(t: float, channels: int, proj1: nn.Linear, proj2: nn.Linear) -> mx.array:
    """Embed the time of the solver: sinusoids, and two layers. Shapes: proj1 [D, channels] -> [1, D]."""
    sinusoids = sinusoids_at(np.array([t], np.float32) * np.float32(TIME_SCALE), channels)
    return linear(proj2, ops.silu(linear(proj1, sinusoids)))


def causal(dim_in: int, dim_out: int) -> Conv1d:
    """Return a convolution of kernel 3 that sees the step itself and the two before it."""
    return Conv1d(dim_in, dim_out, 3, padding=(2, 0))
