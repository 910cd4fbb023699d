"""Attention with its projections."""

import math

import mlx.core as mx
from mlx.nn import Linear, Module

from ..backend import ops
from .linear import linear


class SelfAttention(Module):
    """Multi-head self-attention: softmax(Q Kᵀ / sqrt(D)) V in each head, then o_proj.

    Raises: ValueError if hidden_size is not a multiple of num_attention_heads.
    Source: Vaswani et al. 2017, section 3.2.
    """

    def __init__(self, hidden_size: int, num_attention_heads: int, *, bias: bool = True) -> None:
        super().__init__()
        if hidden_size % num_attention_heads:
            raise ValueError(f"hidden_size {hidden_size} does not divide into {num_attention_heads} heads")
        self.num_attention_heads = num_attention_heads
        self.q_proj = Linear(hidden_size, hidden_size, bias=bias)
        self.k_proj = Linear(hidden_size, hidden_size, bias=bias)
        self.v_proj = Linear(hidden_size, hidden_size, bias=bias)
        self.o_proj = Linear(hidden_size, hidden_size, bias=bias)

    def __call__(self, x: mx.array, mask: mx.array | str | None = None) -> mx.array:
        """Attend from every step of x to every step of x that `mask` allows.

        Shapes: x [B, L, M], mask broadcasts to [B, H, L, L] (True attends, or additive) -> [B, L, M].
        """
        batch, length, size = x.shape
        heads = self.num_attention_heads

        def split(y: mx.array) -> mx.array:
            return y.reshape(batch, length, heads, -1).transpose(0, 2, 1, 3)  # [B, H, L, D]

        q, k, v = (split(linear(layer, x)) for layer in (self.q_proj, self.k_proj, self.v_proj))
        y = ops.attention(q, k, v, scale=1 / math.sqrt(size // heads), mask=mask)
        return linear(self.o_proj, y.transpose(0, 2, 1, 3).reshape(batch, length, size))
