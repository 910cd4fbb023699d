"""Self-attention whose scores depend on the distance between two steps."""

import math

import mlx.core as mx
import numpy as np
from mlx.nn import Linear, Module

from ..backend import ops
from .linear import linear
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
        batch, length, _ = x.shape

        def split(y: mx.array) -> mx.array:
            return y.reshape(*y.shape[:-1], self.num_attention_heads, -1)  # [..., L, H, D]

        q, k, v = (split(linear(layer, x)) for layer in (self.q_proj, self.k_proj, self.v_proj))
        k, v = (stream.history(y.swapaxes(1, 2), axis=2) for y in (k, v))  # [B, H, S, D]
        p = split(linear(self.pos_proj, positions)).swapaxes(0, 1)  # [H, S + L - 1, D]
        n_keys = k.shape[2]
        n_rows = max(1, MAX_SCORES // (batch * self.num_attention_heads * (n_keys + length)))
        outputs = []
        for start in range(0, length, n_rows):
            end = min(start + n_rows, length)
            distances = p[:, length - end : length + n_keys - 1 - start]
            outputs.append(self._attend(q[:, start:end], k, v, distances, None if mask is None else mask[start:end]))
            if length > n_rows:
                mx.eval(outputs)
        return linear(self.o_proj, mx.concatenate(outputs, axis=1) if length > n_rows else outputs[0])

    def _attend(self, q: mx.array, k: mx.array, v: mx.array, p: mx.array, mask: mx.array | None) -> mx.array:
        """Attend from a block of queries.

        Shapes: q [B, L, H, D], k and v [B, H, S, D], p [H, S + L - 1, D], mask [L, S] -> [B, L, H · D].
        """
        scale = 1 / math.sqrt(q.shape[-1])
        bias = shift(((q + self.pos_bias_v) * scale).swapaxes(1, 2) @ p.swapaxes(1, 2))  # [B, H, L, S]
        if mask is not None:
            bias = mx.where(mask, bias, -math.inf)
        y = ops.attention((q + self.pos_bias_u).swapaxes(1, 2), k, v, scale=scale, mask=bias)
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
