"""The decoder block of Llama-like language models: grouped-query attention with rotary positions, SwiGLU, RMSNorm.

Parameter names are mlx-lm's and Hugging Face's. mlx-lm's own Qwen2 is not used: its SwiGLU is compiled when it runs,
which on a CPU needs a C++ compiler on the user's machine, and importing it imports transformers.
"""

import math

import mlx.core as mx
import mlx.nn as nn

from ..backend import ops
from .cache import KVCache
from .linear import linear


class GroupedQueryAttention(nn.Module):
    """Causal self-attention whose key and value heads serve several query heads each.

    Source: Ainslie et al. 2023, section 2.2; the biases on q, k and v are Qwen2's.
    """

    def __init__(
        self,
        hidden_size: int,
        num_attention_heads: int,
        num_key_value_heads: int,
        head_dim: int,
        *,
        qkv_bias: bool,
    ) -> None:
        super().__init__()
        self.num_attention_heads, self.num_key_value_heads = num_attention_heads, num_key_value_heads
        self.head_dim = head_dim
        self.q_proj = nn.Linear(hidden_size, num_attention_heads * head_dim, bias=qkv_bias)
        self.k_proj = nn.Linear(hidden_size, num_key_value_heads * head_dim, bias=qkv_bias)
        self.v_proj = nn.Linear(hidden_size, num_key_value_heads * head_dim, bias=qkv_bias)
        self.o_proj = nn.Linear(num_attention_heads * head_dim, hidden_size, bias=False)

    def __call__(self, x: mx.array, positions: tuple[mx.array, mx.array], cache: KVCache | None) -> mx.array:
        """Attend to the steps in `cache` and, causally, to those of x. positions: tables of nn/rope.py.

        Shapes: x [B, L, M], positions two of [L, D / 2] -> [B, L, M].
        """
        batch, length, _ = x.shape
        rows = mx.concatenate([linear(layer, x) for layer in (self.q_proj, self.k_proj, self.v_proj)], axis=-1)
        heads = rows.reshape(batch, length, -1, self.head_dim).transpose(0, 2, 1, 3)  # [B, H + 2 Hkv, L, D]
        n_kv = self.num_key_value_heads
        n_qk = self.num_attention_heads + n_kv
        qk = ops.rotate(heads[:, :n_qk], *positions)
        q, k, v = qk[:, :-n_kv], qk[:, -n_kv:], heads[:, n_qk:]
        if cache is not None:
            k, v = cache.update(k, v)
        mask = "causal" if length > 1 else None
        y = ops.attention(q, k, v, scale=1 / math.sqrt(self.head_dim), mask=mask)
        return linear(self.o_proj, y.transpose(0, 2, 1, 3).reshape(batch, length, -1))


class SwiGLU(nn.Module):
    """The gated feed-forward layer down(silu(gate(x)) · up(x)). Source: Shazeer 2020, eq. 6."""

    def __init__(self, hidden_size: int, intermediate_size: int) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(hidden_size, intermediate_size, bias=False)
        self.up_proj = nn.Linear(hidden_size, intermediate_size, bias=False)
        self.down_proj = nn.Linear(intermediate_size, hidden_size, bias=False)

    def __call__(self, x: mx.array) -> mx.array:
        """Apply the layer to each step. Shapes: x [B, L, M] -> [B, L, M]."""
        return linear(self.down_proj, ops.silu(linear(self.gate_proj, x)) * linear(self.up_proj, x))


class DecoderLayer(nn.Module):
    """One layer: x + attention(norm(x)), then x + feed-forward(norm(x)).

    Source: Touvron et al. 2023, "LLaMA", section 2.2; transformers, models/qwen2/modeling_qwen2.py `Qwen2DecoderLayer`.
    """

    def __init__(
        self,
        hidden_size: int,
        intermediate_size: int,
        num_attention_heads: int,
        num_key_value_heads: int,
        head_dim: int,
        *,
        qkv_bias: bool = True,
        rms_norm_eps: float = 1e-6,
    ) -> None:
        super().__init__()
        self.self_attn = GroupedQueryAttention(
            hidden_size, num_attention_heads, num_key_value_heads, head_dim, qkv_bias=qkv_bias
        )
        self.mlp = SwiGLU(hidden_size, intermediate_size)
        self.input_layernorm = nn.RMSNorm(hidden_size, eps=rms_norm_eps)
        self.post_attention_layernorm = nn.RMSNorm(hidden_size, eps=rms_norm_eps)

    def __call__(self, x: mx.array, positions: tuple[mx.array, mx.array], cache: KVCache | None = None) -> mx.array:
        """Run the layer. Shapes: x [B, L, M], positions two of [L, D / 2] -> [B, L, M]."""
        x = x + self.self_attn(_normalise(self.input_layernorm, x), positions, cache)
        return x + self.mlp(_normalise(self.post_attention_layernorm, x))


def _normalise(norm: nn.RMSNorm, x: mx.array) -> mx.array:
    return ops.rms_norm(x, norm.weight, norm.eps)
