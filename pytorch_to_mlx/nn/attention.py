"""Attention with its projections."""

import math

import mlx.core as mx
from mlx.nn import Linear, Module, RMSNorm

from ..backend import ops
from .cache import RowMemory
from .linear import linear
from .stream import Stream


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


class CachedAttention(Module):
    """Multi-head attention whose keys and values are computed apart from the queries, so that they can be kept.

    head_dim: hidden_size / num_attention_heads by default. scale: of the scores, 1 / sqrt(head_dim) by default.
    Source: Vaswani et al. 2017, section 3.2.
    """

    def __init__(
        self,
        hidden_size: int,
        num_attention_heads: int,
        head_dim: int | None = None,
        *,
        bias: bool = True,
        scale: float | None = None,
    ) -> None:
        super().__init__()
        head_dim = head_dim or hidden_size // num_attention_heads
        inner_size = num_attention_heads * head_dim
        self.num_attention_heads = num_attention_heads
        self.scale = 1 / math.sqrt(head_dim) if scale is None else scale
        self.q_proj = Linear(hidden_size, inner_size, bias=bias)
        self.k_proj = Linear(hidden_size, inner_size, bias=bias)
        self.v_proj = Linear(hidden_size, inner_size, bias=bias)
        self.out_proj = Linear(inner_size, hidden_size, bias=bias)

    def keys_values(self, x: mx.array) -> tuple[mx.array, mx.array]:
        """Return keys and values. Shapes: x [B, S, M] -> two of [B, H, S, D]."""
        return self._heads(linear(self.k_proj, x)), self._heads(linear(self.v_proj, x))

    def _heads(self, x: mx.array) -> mx.array:
        return x.reshape(*x.shape[:2], self.num_attention_heads, -1).transpose(0, 2, 1, 3)

    def __call__(self, x: mx.array, k: mx.array, v: mx.array, mask: mx.array | str | None = None) -> mx.array:
        """Attend from x to k and v. Where k has fewer rows than x, neighbours in x (the beams of a sentence) share one.

        Shapes: x [B, L, M], k and v [rows, H, S, D], B a multiple of rows, mask broadcasts to
        [rows, H, B / rows · L, S] (True attends, or additive) -> [B, L, M].
        """
        batch, length, _ = x.shape
        q = linear(self.q_proj, x)
        q = self._heads(q.reshape(k.shape[0], -1, q.shape[-1]))  # [rows, H, B / rows · L, D]
        y = ops.attention(q, k, v, scale=self.scale, mask=mask)
        return linear(self.out_proj, y.transpose(0, 2, 1, 3).reshape(batch, length, -1))

    def to_past(self, x: mx.array, past: RowMemory, rows: mx.array, bias: mx.array | None = None) -> mx.array:
        """Attend causally to the tokens so far and to those of x, which `past` receives.

        bias: to add to the scores, -inf where a token would see a later one.
        Shapes: x [B, L, M], rows [B, T] as in `nn.cache.DecoderState`, x counted too, bias [1, H, L, T] -> [B, L, M].
        """
        batch, length, _ = x.shape
        q, keys_values = linear(self.q_proj, x), [linear(layer, x) for layer in (self.k_proj, self.v_proj)]
        every = past.append(mx.concatenate(keys_values, axis=-1), rows.shape[1] - length)
        if length == 1:
            mask, heads = None if bias is None else bias[0, :, 0], self.num_attention_heads
            y = ops.attention_by_rows(q[:, 0], every, rows, mask, heads=heads, scale=self.scale)[:, None]
        else:
            own = every[mx.arange(rows.shape[1])[None], rows]  # [B, T, 2 M]
            k, v = (self._heads(part) for part in mx.split(own, 2, axis=-1))
            y = ops.attention(self._heads(q), k, v, scale=self.scale, mask="causal" if bias is None else bias)
            y = y.transpose(0, 2, 1, 3).reshape(batch, length, -1)
        return linear(self.out_proj, y)


class RotaryAttention(Module):
    """Multi-head self-attention with rotary positions, which turn the halves of a head against each other.

    Weights whose pairs are neighbours are reordered by `rotary_halves` of the weight rules.

    first_head_only: the other heads know no positions. qk_norm: queries and keys are RMS-normalised in each head before
    they turn.
    Source: Vaswani et al. 2017, section 3.2; Su et al. 2021, eq. 34.
    """

    def __init__(
        self, size: int, num_heads: int, head_dim: int, *, first_head_only: bool = False, qk_norm: bool = False
    ) -> None:
        super().__init__()
        self.num_heads, self.head_dim, self.first_head_only = num_heads, head_dim, first_head_only
        inner = num_heads * head_dim
        self.qkv_proj = Linear(size, 3 * inner)
        self.o_proj = Linear(inner, size)
        if qk_norm:
            self.q_norm, self.k_norm = RMSNorm(head_dim, eps=1e-6), RMSNorm(head_dim, eps=1e-6)

    def attend(
        self, x: mx.array, tables: tuple[mx.array, mx.array], stream: Stream, mask: mx.array | None = None
    ) -> mx.array:
        """Attend to all steps that `mask` allows.

        Shapes: x [B, L, D], tables two of [L, head_dim / 2], mask broadcasts to [B, H, L, S] (True attends, or
        additive), of all S steps so far, the last L of them x -> [B, L, D].
        """
        batch, length, _ = x.shape
        qkv = linear(self.qkv_proj, x).reshape(batch, length, 3, self.num_heads, self.head_dim)
        q, k, v = (qkv[:, :, i] for i in range(3))  # [B, L, H, head_dim] each
        if "q_norm" in self:
            q, k = (ops.rms_norm(y, norm.weight, norm.eps) for y, norm in ((q, self.q_norm), (k, self.k_norm)))
        q, k, v = self._rotated(q, tables), self._rotated(k, tables), v.swapaxes(1, 2)  # [B, H, L, head_dim] each
        k, v = (stream.history(y, axis=2) for y in (k, v))
        y = ops.attention(q, k, v, scale=1 / math.sqrt(self.head_dim), mask=mask)
        return linear(self.o_proj, y.swapaxes(1, 2).reshape(batch, length, -1))

    def _rotated(self, x: mx.array, tables: tuple[mx.array, mx.array]) -> mx.array:
        """Shapes: x [B, L, H, D] -> [B, H, L, D]."""
        if not self.first_head_only:
            return ops.rotate(x.swapaxes(1, 2), *tables)
        rows = x.reshape(*x.shape[:2], -1)  # of which `ops.rotate` turns the features that the tables are for
        return ops.rotate(rows, *tables).reshape(x.shape).swapaxes(1, 2)
