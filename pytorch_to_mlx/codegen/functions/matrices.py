"""Matrix products that MLX does not offer for every dtype."""

import mlx.core as mx


def exact_matmul(x: mx.array, y: mx.array) -> mx.array:
    """A matrix product of integers (as a sum of products) or of complex numbers (as three real products)."""
    if x.dtype == mx.complex64:
        a, b, c, d = mx.real(x), mx.imag(x), mx.real(y), mx.imag(y)
        return (a @ c - b @ d) + 1j * (a @ d + b @ c)
    left = x[None, :] if x.ndim == 1 else x
    right = y[:, None] if y.ndim == 1 else y
    product = mx.sum(left[..., :, :, None] * right[..., None, :, :], axis=-2).astype(x.dtype)
    if y.ndim == 1:
        product = product.squeeze(-1)
    return product.squeeze(-2 if y.ndim > 1 else -1) if x.ndim == 1 else product


def cross(x: mx.array, y: mx.array, axis: int) -> mx.array:
    """The cross product along an axis of length 3."""
    x, y = mx.moveaxis(x, axis, -1), mx.moveaxis(y, axis, -1)
    a, b, c = x[..., 0], x[..., 1], x[..., 2]
    d, e, f = y[..., 0], y[..., 1], y[..., 2]
    return mx.moveaxis(mx.stack([b * f - c * e, c * d - a * f, a * e - b * d], axis=-1), -1, axis)


def grouped_matmul(x: mx.array, weights: mx.array, ends: mx.array) -> mx.array:
    """Rows of x, sorted by group, times the matrix of their group.

    Shapes: x [N, D], weights [G, D, O], ends [G] -> [N, O].
    """
    group = mx.sum((mx.arange(x.shape[0])[:, None] >= ends[None, :]).astype(mx.int32), axis=1)
    group = mx.minimum(group, weights.shape[0] - 1).astype(mx.uint32)
    rows = mx.gather_mm(x[:, None, :], weights, rhs_indices=group, sorted_indices=True)
    return rows.squeeze(1)
