"""Rotary position embedding: the angles by which attention rotates queries and keys."""

import mlx.core as mx

from ..backend import ops
from ..backend.rope import rotary_frequencies


def rotary_tables(positions: mx.array, head_dim: int, theta: float) -> tuple[mx.array, mx.array]:
    """Return the cosines and sines of every position's angles, for `ops.rotate`.

    Shapes: positions [L] -> two of [L, D / 2] float32. Source: Su et al. 2021, eq. 34.
    """
    angles = positions.astype(mx.float32)[:, None] * mx.array(rotary_frequencies(head_dim, theta))
    return ops.cos(angles), ops.sin(angles)


def rotate_pairs(x: mx.array, cos: mx.array, sin: mx.array) -> mx.array:
    """Rotate each pair of neighbouring features (2i, 2i + 1) by its position's angle; `ops.rotate` pairs the halves.

    Shapes: x [..., L, D], cos and sin [L, D / 2] -> [..., L, D].
    Source: Su et al. 2021, eq. 34, as written there; x-transformers, `apply_rotary_pos_emb`.
    """
    a, b = x[..., 0::2], x[..., 1::2]
    return mx.stack([a * cos - b * sin, a * sin + b * cos], axis=-1).reshape(x.shape).astype(x.dtype)
