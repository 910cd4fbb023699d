"""Normalisation over several axes and over channel groups."""

import mlx.core as mx


def native_layer_norm(x: mx.array, axes: int, weight, bias, eps: float) -> list[mx.array]:
    """Normalise the last `axes` axes; also return the mean and the reciprocal deviation that were used.

    Shapes: x [*B, *S], weight and bias [*S] or None -> [*B, *S], and two of [*B, 1, …].
    """
    over = tuple(range(-axes, 0))
    mean = mx.mean(x, axis=over, keepdims=True)
    centred = x - mean
    scale = mx.rsqrt(mx.mean(mx.square(centred), axis=over, keepdims=True) + eps)
    y = centred * scale
    y = y if weight is None else y * weight
    return [y if bias is None else y + bias, mean, scale]


def layer_norm(x: mx.array, axes: int, weight, bias, eps: float) -> mx.array:
    """Normalise the last `axes` axes.

    Shapes: x [*B, *S], weight and bias [*S] or None -> [*B, *S]. Source: Ba et al. 2016, eq. 3.
    """
    return native_layer_norm(x, axes, weight, bias, eps)[0]


def group_norm(x: mx.array, groups: int, weight, bias, eps: float) -> list[mx.array]:
    """Normalise groups of channels; also return the mean and the reciprocal deviation per group.

    Shapes: x [B, C, ...], weight and bias [C] or None -> x's, and two of [B, groups]. Source: Wu & He 2018.
    """
    rows = x.reshape([x.shape[0], groups, x.size // max(x.shape[0] * groups, 1)])
    mean = mx.mean(rows, axis=-1, keepdims=True)
    centred = rows - mean
    scale = mx.rsqrt(mx.mean(mx.square(centred), axis=-1, keepdims=True) + eps)
    y = (centred * scale).reshape(x.shape)
    channel = [-1] + [1] * (x.ndim - 2)
    y = y if weight is None else y * weight.reshape(channel)
    y = y if bias is None else y + bias.reshape(channel)
    return [y, mean.squeeze(-1), scale.squeeze(-1)]


def instance_norm(x: mx.array, weight, bias, eps: float) -> mx.array:
    """Normalise every channel of every example.

    Shapes: x [B, C, ...], weight and bias [C] or None -> x's. Source: Ulyanov et al. 2016.
    """
    return group_norm(x, x.shape[1], weight, bias, eps)[0]
