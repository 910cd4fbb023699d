"""The flow's encoder: speech tokens to a coarse mel. A conformer without convolutions, at two rates."""

import math
from dataclasses import dataclass

import mlx.core as mx
import mlx.nn as nn

from ....backend import ops
from ....nn.conv import Conv1d
from ....nn.linear import linear
from ....nn.norm import LayerNorm
from ....nn.positions import relative_sinusoids
from ....nn.relative import RelativeAttention
from ....nn.stream import Stream

UPSAMPLE_KERNEL = 5


@dataclass(frozen=True)
class EncoderConfig:
    hidden_size: int = 512
    num_attention_heads: int = 8
    intermediate_size: int = 2048
    num_hidden_layers: int = 6
    num_upsampled_layers: int = 4
    lookahead: int = 3

    def __post_init__(self) -> None:
        if self.hidden_size % (2 * self.num_attention_heads):
            raise ValueError(f"hidden_size {self.hidden_size} does not divide into {self.num_attention_heads} heads")

    @classmethod
    def tiny(cls) -> "EncoderConfig":
        return cls(hidden_size=64, num_attention_heads=2, intermediate_size=96, num_hidden_layers=2)


class Embed(nn.Module):
    """Shapes: [B, L, D] -> [B, L, D]."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.proj = nn.Linear(size, size)
        self.norm = LayerNorm(size)
        self.scale = math.sqrt(size)

    def __call__(self, x: mx.array) -> mx.array:
        return self.norm(linear(self.proj, x)) * self.scale


class Lookahead(nn.Module):
    """Each token sees those that follow it; the last ones see zeros. Shapes: [B, L, D] -> [B, L, D]."""

    def __init__(self, size: int, channels: int, lookahead: int) -> None:
        super().__init__()
        self.conv1 = Conv1d(size, channels, lookahead + 1, padding=(0, lookahead))
        self.conv2 = Conv1d(channels, size, 3, padding=(2, 0))

    def __call__(self, x: mx.array, stream: Stream) -> mx.array:
        y = ops.leaky_relu(stream.conv1d(self.conv1, x), 0.01)
        return stream.add(x, stream.conv1d(self.conv2, y))


class EncoderLayer(nn.Module):
    """Pre-norm attention and feed-forward. Shapes: x [B, L, D] -> [B, L, D]. Source: Gulati et al. 2020 (Conformer)."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        size = config.hidden_size
        self.attention_norm = LayerNorm(size, eps=1e-12)
        self.attention = RelativeAttention(size, config.num_attention_heads)
        self.norm = LayerNorm(size, eps=1e-12)
        self.up_proj = nn.Linear(size, config.intermediate_size)
        self.down_proj = nn.Linear(config.intermediate_size, size)

    def __call__(self, x: mx.array, positions: mx.array, stream: Stream, mask: mx.array | None) -> mx.array:
        x = x + self.attention(self.attention_norm(x), positions, stream, mask)
        return x + linear(self.down_proj, ops.silu(linear(self.up_proj, self.norm(x))))


class Encoder(nn.Module):
    """Shapes: tokens [1, L, D] -> [1, ratio · L, D], or ratio · (L - lookahead) steps where more will come."""

    def __init__(self, config: EncoderConfig, ratio: int) -> None:
        super().__init__()
        self.ratio = ratio
        size = config.hidden_size
        self.embed, self.up_embed = Embed(size), Embed(size)
        self.lookahead = Lookahead(size, size, config.lookahead)
        self.layers = [EncoderLayer(config) for _ in range(config.num_hidden_layers)]
        self.up_conv = Conv1d(size, size, 2 * ratio + 1, padding=(2 * ratio, 0))
        self.up_layers = [EncoderLayer(config) for _ in range(config.num_upsampled_layers)]
        self.norm = LayerNorm(size)

    def __call__(self, x: mx.array, stream: Stream, *, done: int = 0, chunk: int | None = None) -> mx.array:
        """`done`: tokens whose steps came out before. `chunk`: tokens see no further than the end of their chunk."""
        x = self.lookahead(self.embed(x), stream)
        x = run(self.layers, x, stream, done, chunk)
        x = stream.conv1d(self.up_conv, mx.repeat(x, self.ratio, axis=1))
        x = run(self.up_layers, self.up_embed(x), stream, done * self.ratio, chunk and chunk * self.ratio)
        return self.norm(x)


def run(layers: list[EncoderLayer], x: mx.array, stream: Stream, done: int, chunk: int | None) -> mx.array:
    length = x.shape[1]
    positions = relative_sinusoids(done + length - 1, 1 - length, x.shape[2])
    mask = chunk_mask(done, length, chunk)
    for layer in layers:
        x = layer(x, positions, stream, mask)
    return x


def chunk_mask(done: int, length: int, chunk: int | None) -> mx.array | None:
    """Which of all steps until now each of the last `length` sees: those up to the end of its chunk; None for all.

    Shapes: -> [length, done + length].
    """
    if chunk is None or done // chunk == (done + length - 1) // chunk:
        return None
    ends = (mx.arange(done, done + length) // chunk + 1) * chunk
    return mx.arange(done + length) < ends[:, None]
