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
