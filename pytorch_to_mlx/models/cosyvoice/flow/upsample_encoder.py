"""The flow's encoder: speech tokens to a coarse mel. A conformer without convolutions, at two rates.

Reference: UpsampleConformerEncoder, cosyvoice/transformer/upsample_encoder.py@ace7c47.
"""

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


@dataclass(frozen=True)
class EncoderConfig:
    """Sizes of the encoder; the defaults are CosyVoice 2's. lookahead: later tokens that each token sees."""

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
        """Return small sizes for tests."""
        return cls(hidden_size=64, num_attention_heads=2, intermediate_size=96, num_hidden_layers=2)


class Embed(nn.Module):
    """Linear layer and norm, scaled by √D."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.proj = nn.Linear(size, size)
        self.norm = LayerNorm(size)
        self.scale = math.sqrt(size)

    def __call__(self, x: mx.array) -> mx.array:
        """Shapes: x [B, L, D] -> [B, L, D]."""
        return self.norm(linear(self.proj, x)) * self.scale


class Lookahead(nn.Module):
    """Mix into each token the `lookahead` tokens after it, zeros after the last."""

    def __init__(self, size: int, channels: int, lookahead: int) -> None:
        super().__init__()
        self.conv1 = Conv1d(size, channels, lookahead + 1, padding=(0, lookahead))
        self.conv2 = Conv1d(channels, size, 3, padding=(2, 0))

    def __call__(self, x: mx.array, stream: Stream) -> mx.array:
        """Shapes: x [B, L, D] -> [B, L, D]."""
        y = ops.leaky_relu(stream.conv1d(self.conv1, x), 0.01)
        return stream.add(x, stream.conv1d(self.conv2, y))


class EncoderLayer(nn.Module):
    """Pre-norm relative attention and feed-forward. Source: Gulati et al. 2020 (Conformer)."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        size = config.hidden_size
        self.attention_norm = LayerNorm(size, eps=1e-12)
        self.attention = RelativeAttention(size, config.num_attention_heads)
        self.norm = LayerNorm(size, eps=1e-12)
        self.up_proj = nn.Linear(size, config.intermediate_size)
        self.down_proj = nn.Linear(config.intermediate_size, size)

    def __call__(self, x: mx.array, positions: mx.array, stream: Stream, mask: mx.array | None) -> mx.array:
        """Shapes: x [B, L, D], positions [S + L - 1, D] for the distances S - 1 to 1 - L, mask [L, S] -> [B, L, D]."""
        x = x + self.attention(self.attention_norm(x), positions, stream, mask)
        return x + linear(self.down_proj, ops.silu(linear(self.up_proj, self.norm(x))))


class Encoder(nn.Module):
    """Encode embedded tokens and upsample them to mel frames."""

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

    def __call__(self, x: mx.array, stream: Stream, *, offset: int = 0, chunk: int | None = None) -> mx.array:
        """Shapes: x [1, L, D] -> [1, ratio · L, D], or ratio · (L - lookahead) frames if more tokens will come.

        offset: tokens whose frames came out before. chunk: tokens see no further than the end of their chunk.
        """
        x = self.lookahead(self.embed(x), stream)
        x = run_layers(self.layers, x, stream, offset, chunk)
        x = stream.conv1d(self.up_conv, mx.repeat(x, self.ratio, axis=1))
        x = run_layers(self.up_layers, self.up_embed(x), stream, offset * self.ratio, chunk and chunk * self.ratio)
        return self.norm(x)


def run_layers(layers: list[EncoderLayer], x: mx.array, stream: Stream, offset: int, chunk: int | None) -> mx.array:
    """Apply the layers to steps that follow `offset` earlier ones. Shapes: x [1, L, D] -> [1, L, D]."""
    length = x.shape[1]
    positions = relative_sinusoids(offset + length - 1, 1 - length, x.shape[2])
    mask = chunk_mask(offset, length, chunk)
    for layer in layers:
        x = layer(x, positions, stream, mask)
    return x


def chunk_mask(offset: int, length: int, chunk: int | None) -> mx.array | None:
    """Return which steps each of the last `length` attends to: all up to the end of its chunk; None if that is all.

    Shapes: -> [length, offset + length] bool.
    """
    if chunk is None or offset // chunk == (offset + length - 1) // chunk:
        return None
    ends = (mx.arange(offset, offset + length) // chunk + 1) * chunk
    return mx.arange(offset + length) < ends[:, None]
