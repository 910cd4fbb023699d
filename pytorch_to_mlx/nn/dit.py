"""Blocks of diffusion transformers over a sequence: time, positions by convolution, and adaptive norms.

Source: Peebles & Xie 2023, "Scalable Diffusion Models with Transformers", section 3.2 (adaLN-Zero); Chen et al. 2024,
"F5-TTS", whose code CosyVoice 3 shares.
"""

import mlx.core as mx
import numpy as np
from mlx.nn import Linear, Module

from ..backend import ops
from .attention import RotaryAttention
from .conv import Conv1d
from .linear import linear
from .positions import sinusoids_at
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

    def __call__(self, t: float | np.ndarray) -> mx.array:
        """Shapes: t, a number or [S] -> [S, D], S = 1 for a number."""
        x = sinusoids_at(np.atleast_1d(np.asarray(t, np.float32)) * np.float32(TIME_SCALE), self.channels)
        return linear(self.proj2, ops.silu(linear(self.proj1, x.astype(self.proj1.weight.dtype))))


class ConvPositions(Module):
    """Embed positions: x + mish(conv(mish(conv(x)))), with grouped convolutions. padding: zeros (before, after)."""

    def __init__(self, size: int, padding: tuple[int, int], *, kernel_size: int = 31, groups: int = 16) -> None:
        super().__init__()
        self.conv1 = Conv1d(size, size, kernel_size, padding=padding, groups=groups)
        self.conv2 = Conv1d(size, size, kernel_size, padding=padding, groups=groups)

    def __call__(self, x: mx.array, stream: Stream, is_step: mx.array | None = None) -> mx.array:
        """Embed the positions of x. is_step: False where x is padding, which its neighbours see as zeros, as an edge.

        Shapes: x [B, L, D], is_step [B, L, 1] -> [B, L, D].
        """
        y = x
        for conv in (self.conv1, self.conv2):
            y = ops.mish(stream.conv1d(conv, y if is_step is None else mx.where(is_step, y, 0)))
        return stream.add(x, y)


class DiTBlock(RotaryAttention):
    """Attention and feed-forward, each after a norm whose shift and scale come from the time, and times a gate.

    The options are those of `RotaryAttention`.
    """

    def __init__(
        self,
        size: int,
        num_heads: int,
        head_dim: int,
        intermediate_size: int,
        *,
        first_head_only: bool = False,
        qk_norm: bool = False,
    ) -> None:
        super().__init__(size, num_heads, head_dim, first_head_only=first_head_only, qk_norm=qk_norm)
        self.time_proj = Linear(size, 6 * size)
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
        """Shapes: x [B, L, D], modulation [6, B or 1, 1, D], tables and mask as in `attend`
        -> [B, L, D].
        """
        shift, scale, gate, shift2, scale2, gate2 = modulation
        x = ops.add(x, gate * self.attend(modulate(x, shift, scale), tables, stream, mask))
        y = ops.gelu_tanh(linear(self.up_proj, modulate(x, shift2, scale2)))
        return ops.add(x, gate2 * linear(self.down_proj, y))


def modulate(x: mx.array, shift: mx.array, scale: mx.array) -> mx.array:
    """Return LN(x) · (1 + scale) + shift. Shapes: x [B, L, D], shift and scale [B or 1, 1, D] -> [B, L, D].

    Source: Peebles & Xie 2023, section 3.2.
    """
    return ops.layer_norm(x, 1 + scale, shift, EPS)
