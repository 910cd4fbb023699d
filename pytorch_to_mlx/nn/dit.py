"""Blocks of diffusion transformers over a sequence: time, positions by convolution, and adaptive norms.

Source: Peebles & Xie 2023, "Scalable Diffusion Models with Transformers", section 3.2 (adaLN-Zero); Chen et al. 2024,
"F5-TTS", whose code CosyVoice 3 shares.
"""

import math

import mlx.core as mx
import numpy as np
from mlx.nn import Linear, Module

from ..backend import ops
from .conv import Conv1d
from .linear import linear
from .positions import sinusoids_at
from .rope import rotate_pairs
from .stream import Stream

EPS = 1e-6
TIME_SCALE = 1000


class TimeEmbedding(Module):
    """Embed a time from 0 to 1: sines and cosines of 1000 · t, and two linear layers."""

    def __init__(self, size: int, channels: int = 256) -> None:
        super().__init__()
        self.channels = channels
        self.proj1 = Linear(channels, size)
        self.proj2 = Linear(size, size)

    def __call__(self, t: float) -> mx.array:
        """Shapes: -> [1, D]."""
        x = sinusoids_at(np.array([t], np.float32) * np.float32(TIME_SCALE), self.channels)
        return linear(self.proj2, ops.silu(linear(self.proj1, x.astype(self.proj1.weight.dtype))))


class ConvPositions(Module):
    """Embed positions: x + mish(conv(mish(conv(x)))), with grouped convolutions. padding: zeros (before, after)."""

    def __init__(self, size: int, padding: tuple[int, int], *, kernel_size: int = 31, groups: int = 16) -> None:
        super().__init__()
        self.conv1 = Conv1d(size, size, kernel_size, padding=padding, groups=groups)
        self.conv2 = Conv1d(size, size, kernel_size, padding=padding, groups=groups)

    def __call__(self, x: mx.array, stream: Stream) -> mx.array:
        """Shapes: x [B, L, D] -> [B, L, D]."""
        y = ops.mish(stream.conv1d(self.conv1, x))
        return stream.add(x, ops.mish(stream.conv1d(self.conv2, y)))


class DiTBlock(Module):
    """Attention and feed-forward, each after a norm whose shift and scale come from the time, and times a gate.

    rotary_heads: how many of the heads, the first ones, know positions; None is all.
    """

    def __init__(
        self, size: int, num_heads: int, head_dim: int, intermediate_size: int, rotary_heads: int | None = None
    ) -> None:
        super().__init__()
        self.num_heads, self.head_dim, self.rotary_heads = num_heads, head_dim, rotary_heads
        inner = num_heads * head_dim
        self.time_proj = Linear(size, 6 * size)
        self.qkv_proj = Linear(size, 3 * inner)
        self.o_proj = Linear(inner, size)
        self.up_proj = Linear(size, intermediate_size)
        self.down_proj = Linear(intermediate_size, size)

    def modulation(self, time: mx.array) -> mx.array:
        """Return shift, scale and gate of the attention, then of the feed-forward. Shapes: time [B, D] -> [6, B, 1, D].

        They are the same for every step, so that they are computed once for a time.
        """
        parts = linear(self.time_proj, ops.silu(time)).reshape(time.shape[0], 6, 1, -1)
        return parts.swapaxes(0, 1)

    def __call__(
        self,
        x: mx.array,
        modulation: mx.array,
        tables: tuple[mx.array, mx.array],
        stream: Stream,
        mask: mx.array | None = None,
    ) -> mx.array:
        """Shapes: x [B, L, D], modulation [6, B or 1, 1, D], tables two of [L, head_dim / 2], mask [L, S] of all steps
        so far, the last L of them x -> [B, L, D].
        """
        shift, scale, gate, shift2, scale2, gate2 = modulation
        x = x + gate * self.attend(modulate(x, shift, scale), tables, stream, mask)
        y = ops.gelu_tanh(linear(self.up_proj, modulate(x, shift2, scale2)))
        return x + gate2 * linear(self.down_proj, y)

    def attend(self, x: mx.array, tables: tuple[mx.array, mx.array], stream: Stream, mask: mx.array | None) -> mx.array:
        """Attend to all steps that `mask` allows. Shapes: as in `__call__`."""
        batch, length, _ = x.shape
        qkv = linear(self.qkv_proj, x).reshape(batch, length, 3, self.num_heads, self.head_dim)
        q, k, v = (qkv[:, :, i].swapaxes(1, 2) for i in range(3))  # [B, H, L, head_dim] each
        q, k = (self._rotate(y, tables) for y in (q, k))
        k, v = (stream.history(y, axis=2) for y in (k, v))
        y = ops.attention(q, k, v, scale=1 / math.sqrt(self.head_dim), mask=mask)
        return linear(self.o_proj, y.swapaxes(1, 2).reshape(batch, length, -1))

    def _rotate(self, x: mx.array, tables: tuple[mx.array, mx.array]) -> mx.array:
        if self.rotary_heads is None:
            return rotate_pairs(x, *tables)
        rotated, rest = mx.split(x, [self.rotary_heads], axis=1)
        return mx.concatenate([rotate_pairs(rotated, *tables), rest], axis=1)


def modulate(x: mx.array, shift: mx.array, scale: mx.array) -> mx.array:
    """Return LN(x) · (1 + scale) + shift. Shapes: x [B, L, D], shift and scale [B or 1, 1, D] -> [B, L, D].

    Source: Peebles & Xie 2023, section 3.2.
    """
    return ops.layer_norm(x, 1 + scale, shift, EPS)
