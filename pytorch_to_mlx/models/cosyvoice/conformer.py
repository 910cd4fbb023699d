"""A conformer without convolutions: what the flow of versions 1 and 2 and the text encoder of version 1 are made of.

Reference: ConformerEncoder and ConformerEncoderLayer, cosyvoice/transformer/{encoder,encoder_layer}.py@ace7c47.
"""

import math
from dataclasses import dataclass

import mlx.core as mx
import mlx.nn as nn

from ...backend import ops
from ...nn.linear import linear
from ...nn.norm import LayerNorm
from ...nn.positions import relative_sinusoids
from ...nn.relative import RelativeAttention
from ...nn.stream import Stream

NORM_EPS = 1e-12  # of the two norms in a layer


@dataclass(frozen=True)
class ConformerConfig:
    """Sizes of a conformer; the defaults are those of the flow."""

    hidden_size: int = 512
    num_attention_heads: int = 8
    intermediate_size: int = 2048
    num_hidden_layers: int = 6

    def __post_init__(self) -> None:
        if self.hidden_size % (2 * self.num_attention_heads):
            raise ValueError(f"hidden_size {self.hidden_size} does not divide into {self.num_attention_heads} heads")


class Embed(nn.Module):
    """Linear layer and norm, scaled by √D."""

    def __init__(self, input_size: int, size: int) -> None:
        super().__init__()
        self.proj = nn.Linear(input_size, size)
        self.norm = LayerNorm(size)
        self.scale = math.sqrt(size)

    def __call__(self, x: mx.array) -> mx.array:
        """Shapes: x [B, L, D_in] -> [B, L, D]."""
        return self.norm(linear(self.proj, x)) * self.scale


class ConformerLayer(nn.Module):
    """Pre-norm relative attention and feed-forward. Source: Gulati et al. 2020 (Conformer)."""

    def __init__(self, config: ConformerConfig) -> None:
        super().__init__()
        size = config.hidden_size
        self.attention_norm = LayerNorm(size, eps=NORM_EPS)
        self.attention = RelativeAttention(size, config.num_attention_heads)
        self.norm = LayerNorm(size, eps=NORM_EPS)
        self.up_proj = nn.Linear(size, config.intermediate_size)
        self.down_proj = nn.Linear(config.intermediate_size, size)

    def __call__(self, x: mx.array, positions: mx.array, stream: Stream, mask: mx.array | None) -> mx.array:
        """Shapes: x [B, L, D], positions [S + L - 1, D] for the distances S - 1 to 1 - L, mask [L, S] -> [B, L, D]."""
        x = x + self.attention(self.attention_norm(x), positions, stream, mask)
        return x + linear(self.down_proj, ops.silu(linear(self.up_proj, self.norm(x))))


class Conformer(nn.Module):
    """Embed a sequence, apply the layers, and a norm."""

    def __init__(self, input_size: int, config: ConformerConfig) -> None:
        super().__init__()
        self.embed = Embed(input_size, config.hidden_size)
        self.layers = [ConformerLayer(config) for _ in range(config.num_hidden_layers)]
        self.norm = LayerNorm(config.hidden_size)

    def __call__(self, x: mx.array, chunk: int | None = None) -> mx.array:
        """Shapes: x [1, L, D_in] -> [1, L, D]. chunk: steps see no further than the end of theirs."""
        return self.norm(run_layers(self.layers, self.embed(x), Stream(), 0, chunk))


def run_layers(layers: list[ConformerLayer], x: mx.array, stream: Stream, offset: int, chunk: int | None) -> mx.array:
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
