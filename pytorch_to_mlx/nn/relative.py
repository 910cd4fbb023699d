"""Self-attention whose scores depend on the distance between two steps."""

import math

import mlx.core as mx
import numpy as np
from mlx.nn import Linear, Module

from ..backend import ops
from .cache import STEP, KVCache
from .linear import linear
from .positions import relative_sinusoids
from .stream import Stream

MAX_SCORES = 1 << 24  # computed at a time: 64 MB; all scores of a minute of speech would take 0.7 GB


class RelativeAttention(Module):
    """Multi-head self-attention; a score is ((q_i + u)·k_j + (q_i + v)·W p(i - j)) / sqrt(D).

    Raises: ValueError if hidden_size is not a multiple of num_attention_heads.
    Source: Dai et al. 2019, "Transformer-XL", section 3.3 and appendix B; ESPnet's RelPositionMultiHeadedAttention.
    """

    def __init__(self, hidden_size: int, num_attention_heads: int) -> None:
        super().__init__()
        if hidden_size % num_attention_heads:
            raise ValueError(f"hidden_size {hidden_size} does not divide into {num_attention_heads} heads")
        self.num_attention_heads = num_attention_heads
        self.q_proj, self.k_proj, self.v_proj, self.o_proj = (Linear(hidden_size, hidden_size) for _ in range(4))
        self.pos_proj = Linear(hidden_size, hidden_size, bias=False)
        self.pos_bias_u, self.pos_bias_v = (
            mx.zeros((num_attention_heads, hidden_size // num_attention_heads)) for _ in range(2)
        )

    def __call__(self, x: mx.array, positions: mx.array, stream: Stream, mask: mx.array | None = None) -> mx.array:
        """Attend from x to all S steps up to its end; `stream` holds the keys and values of the S - L steps before x.

        Shapes: x [B, L, M], positions [S + L - 1, M] (p for the distances from S - 1 down to 1 - L), mask [L, S] (True
        attends) -> [B, L, M].
        """

        def split(y: mx.array) -> mx.array:
            return y.reshape(*y.shape[:-1], self.num_attention_heads, -1)  # [..., L, H, D]

        q, k, v = (split(linear(layer, x)) for layer in (self.q_proj, self.k_proj, self.v_proj))
        k, v = (stream.history(y.swapaxes(1, 2), axis=2) for y in (k, v))  # [B, H, S, D]
        p = split(linear(self.pos_proj, positions)).swapaxes(0, 1)  # [H, S + L - 1, D]
        return linear(self.o_proj, attend_relative(q, k, v, p, self.pos_bias_u, self.pos_bias_v, mask))


class CausalRelativeAttention(Module):
    """`RelativeAttention` to the steps so far, for a decoder: it keeps keys, values and projected positions.

    One matrix gives queries, keys and values. W p is a constant of the weights: it is computed once for each distance.
    """

    def __init__(self, hidden_size: int, num_attention_heads: int) -> None:
        super().__init__()
        self.num_attention_heads = num_attention_heads
        self.qkv_proj = Linear(hidden_size, 3 * hidden_size)
        self.o_proj = Linear(hidden_size, hidden_size)
        self.pos_proj = Linear(hidden_size, hidden_size, bias=False)
        self.pos_bias_u, self.pos_bias_v = (
            mx.zeros((num_attention_heads, hidden_size // num_attention_heads)) for _ in range(2)
        )

    def __call__(self, x: mx.array, cache: KVCache) -> mx.array:
        """Attend from each step of x to itself, to those before it, and to all in the cache.

        Shapes: x [B, L, M] -> [B, L, M].
        """
        batch, length, size = x.shape
        qkv = linear(self.qkv_proj, x).reshape(batch, length, 3, self.num_attention_heads, -1)
        k, v = cache.update(*(qkv[:, :, i].swapaxes(1, 2) for i in (1, 2)))  # [B, H, S, D]
        positions = self._positions(cache.offset, size).astype(x.dtype)
        p = positions[:, positions.shape[1] - cache.offset :]  # [H, S, D]
        mask = None
        if length > 1:
            p = mx.pad(p, [(0, 0), (0, length - 1), (0, 0)])  # steps to come, which are masked
            mask = mx.arange(cache.offset) <= mx.arange(cache.offset - length, cache.offset)[:, None]
        y = attend_relative(qkv[:, :, 0], k, v, p, self.pos_bias_u, self.pos_bias_v, mask)
        return linear(self.o_proj, y)

    def _positions(self, count: int, size: int) -> mx.array:
        """Return W p for at least `count` distances, down to 0. Shapes: -> [H, N, D], N >= count."""
        weight, p = self.__dict__.get("_positions_of", (None, None))  # not an item of the module: no parameter
        if p is None or weight is not self.pos_proj.weight or p.shape[1] < count:
            rows = linear(self.pos_proj, relative_sinusoids(-(-count // STEP) * STEP - 1, 0, size))
            p = mx.contiguous(rows.reshape(len(rows), self.num_attention_heads, -1).swapaxes(0, 1))
            mx.eval(p)
            self.__dict__["_positions_of"] = self.pos_proj.weight, p
        return p


def attend_relative(
    q: mx.array, k: mx.array, v: mx.array, p: mx.array, u: mx.array, w: mx.array, mask: mx.array | None
) -> mx.array:
    """Attend with the scores ((q_i + u)·k_j + (q_i + w)·p_(i - j)) / sqrt(D), block by block of queries.

    Shapes: q [B, L, H, D], k and v [B, H, S, D], p [H, S + L - 1, D], u and w [H, D], mask [L, S] -> [B, L, H · D].
    """
    batch, length, n_heads, _ = q.shape
    n_keys = k.shape[2]
    n_rows = max(1, MAX_SCORES // (batch * n_heads * (n_keys + length)))
    outputs = []
    for start in range(0, length, n_rows):
        end = min(start + n_rows, length)
        distances = p[:, length - end : length + n_keys - 1 - start]
        rows = None if mask is None else mask[start:end]
        outputs.append(_attend(q[:, start:end], k, v, distances, u, w, rows))
        if length > n_rows:
            mx.eval(outputs)
    return mx.concatenate(outputs, axis=1) if length > n_rows else outputs[0]


def _attend(
    q: mx.array, k: mx.array, v: mx.array, p: mx.array, u: mx.array, w: mx.array, mask: mx.array | None
) -> mx.array:
    scale = 1 / math.sqrt(q.shape[-1])
    bias = ((q + w) * scale).swapaxes(1, 2) @ p.swapaxes(1, 2)  # [B, H, L, S + L - 1]
    bias = shift(bias) if q.shape[1] > 1 else bias
    if mask is not None:
        bias = mx.where(mask, bias, -math.inf)
    y = ops.attention((q + u).swapaxes(1, 2), k, v, scale=scale, mask=bias)
    return y.swapaxes(1, 2).reshape(*q.shape[:2], -1)


def shift(x: mx.array) -> mx.array:
    """Turn a column for each distance into a column for each key: y[i, j] = x[i, L - 1 - i + j].

    Shapes: [B, H, L, S + L - 1] -> [B, H, L, S].
    Source: Dai et al. 2019, "Transformer-XL", appendix B; ESPnet's `rel_shift`.
    """
    batch, heads, length, n_distances = x.shape
    n_keys = n_distances - length + 1
    strides = (heads * length * n_distances, length * n_distances, n_distances - 1, 1)
    return mx.as_strided(mx.contiguous(x), (batch, heads, length, n_keys), strides, length - 1)


def distance_buckets(distances: np.ndarray, n_buckets: int, max_distance: int, *, bidirectional: bool) -> np.ndarray:
    """Return the bucket of each distance from a step to a key: near ones alone, far ones by logarithm.

    bidirectional: the upper half of the buckets is for keys that come later; else those share the bucket of 0.
    Shapes: distances, any, whole numbers -> the same. Source: Raffel et al. 2020, "Exploring the Limits of Transfer
    Learning", section 2.1; transformers, models/t5/modeling_t5.py `_relative_position_bucket`.
    """
    start = 0
    if bidirectional:
        n_buckets //= 2
        start = np.where(distances > 0, n_buckets, 0)
        distances = np.abs(distances)
    else:
        distances = -np.minimum(distances, 0)
    n_exact = n_buckets // 2
    # In float32, as the reference: one rounding less would move a distance into another bucket.
    logs = np.log(np.maximum(distances, 1).astype(np.float32) / np.float32(n_exact), dtype=np.float32)
    far = logs / np.float32(math.log(max_distance / n_exact)) * np.float32(n_buckets - n_exact)
    far = np.minimum(n_exact + far.astype(np.int64), n_buckets - 1)
    return start + np.where(distances < n_exact, distances, far)
