"""Matrix products that MLX does not offer for every dtype."""

import mlx.core as mx


def exact_matmul(x: mx.array, y: mx.array) -> mx.array:
    """Multiply matrices of integers (as a sum of products) or of complex numbers (as four real products).

    Shapes: x [..., N, K] or [K], y [..., K, M] or [K] -> as x @ y.
    """
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
    """Return the cross product along an axis of length 3. Shapes: x and y [..., 3, ...] -> the same."""
    x, y = mx.moveaxis(x, axis, -1), mx.moveaxis(y, axis, -1)
    a, b, c = x[..., 0], x[..., 1], x[..., 2]
    d, e, f = y[..., 0], y[..., 1], y[..., 2]
    return mx.moveaxis(mx.stack([b * f - c * e, c * d - a * f, a * e - b * d], axis=-1), -1, axis)


def grouped_matmul(x: mx.array, weight: mx.array, ends: mx.array) -> mx.array:
    """Multiply groups of rows by a matrix each, as the experts of a mixture do; rows after the last end give 0.

    Shapes: x [S, K], weight [E, K, N], ends [E] (sorted, exclusive) -> [S, N].
    """
    rows = mx.arange(x.shape[0], dtype=ends.dtype)[:, None]
    group = mx.sum(rows >= ends, axis=1)
    inside = mx.minimum(group, weight.shape[0] - 1)
    y = mx.gather_mm(x[:, None], weight, rhs_indices=inside, sorted_indices=True)[:, 0]
    return mx.where((group < weight.shape[0])[:, None], y, 0)
