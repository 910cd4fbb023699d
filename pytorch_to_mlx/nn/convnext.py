"""ConvNeXt over time: a depthwise convolution and two linear layers, with a scale (V1) or a norm over time (V2)."""

import mlx.core as mx
from mlx.nn import Linear, Module

from ..backend import ops
from ..backend.dtype import on_cpu
from .conv import Conv1d
from .linear import linear
from .norm import LayerNorm


class _Block(Module):
    def __init__(self, size: int, inner_size: int, kernel_size: int = 7) -> None:
        super().__init__()
        self.conv = Conv1d(size, size, kernel_size, padding=kernel_size // 2, groups=size)
        self.norm = LayerNorm(size, eps=1e-6)
        self.up_proj, self.down_proj = Linear(size, inner_size), Linear(inner_size, size)

    def _hidden(self, x: mx.array) -> mx.array:
        return ops.gelu(linear(self.up_proj, self.norm(self.conv(x))))


class ConvNeXtBlock(_Block):
    """x + gamma · down(gelu(up(LN(conv(x))))).

    Source: Liu et al. 2022, "A ConvNet for the 2020s", figure 4; layer scale of Touvron et al. 2021.
    """

    def __init__(self, size: int, inner_size: int, kernel_size: int = 7) -> None:
        super().__init__(size, inner_size, kernel_size)
        self.gamma = mx.ones(size)

    def __call__(self, x: mx.array) -> mx.array:
        """Shapes: x [B, T, D] -> [B, T, D]."""
        return ops.add(x, self.gamma * linear(self.down_proj, self._hidden(x)))


class ConvNeXtV2Block(_Block):
    """x + down(GRN(gelu(up(LN(conv(x)))))), where GRN(h) = gamma · h · n + beta + h, n = |h| / mean over channels |h|.

    |h| is the length of each channel over time, so that every step, padding too, has its part in every other.
    Source: Woo et al. 2023, "ConvNeXt V2", section 3.2.
    """

    def __init__(self, size: int, inner_size: int, kernel_size: int = 7) -> None:
        super().__init__(size, inner_size, kernel_size)
        self.gamma, self.beta = mx.zeros(inner_size), mx.zeros(inner_size)

    def __call__(self, x: mx.array) -> mx.array:
        """Shapes: x [B, T, D] -> [B, T, D]."""
        h = self._hidden(x)
        wide = h.astype(mx.float64 if on_cpu() else mx.float32)  # a float32 sum over many steps is off by 1e-6 on a CPU
        lengths = mx.sqrt(mx.sum(mx.square(wide), axis=1, keepdims=True))
        share = (lengths / (mx.mean(lengths, axis=-1, keepdims=True) + 1e-6)).astype(h.dtype)
        return x + linear(self.down_proj, self.gamma * (h * share) + self.beta + h)
