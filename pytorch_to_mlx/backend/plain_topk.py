"""The likeliest tokens by an output layer, with MLX's own operations; a part of `plain`."""

import mlx.core as mx
import numpy as np

from .dtype import on_cpu


def linear_topk(
    x: mx.array, weight: mx.array, bias: mx.array | None = None, *, count: int
) -> tuple[mx.array, mx.array, mx.array]:
    """Return the greatest of the logits x Wᵀ + bias, their places, and log Σ e^(logit - greatest), by row.

    Greatest first, equal ones by their place. The kernel keeps no other logits.
    Shapes: x [rows, D], weight [V, D], bias [V] -> float32 [rows, count], int32 [rows, count], float32 [rows].
    """
    return greatest_logits(x @ weight.T, bias, count)


def quantized_topk(
    x: mx.array,
    w: mx.array,
    scales: mx.array,
    biases: mx.array,
    bias: mx.array | None = None,
    *,
    count: int,
    group_size: int,
    bits: int,
    x_bits: int | None = None,
) -> tuple[mx.array, mx.array, mx.array]:
    """Do what `linear_topk` does with a weight that mx.quantize has packed. x_bits: 8 first rounds x, as `rounded`.

    Shapes: x [rows, D], w [V, D · bits / 32] uint32, scales and biases [V, D / group_size], bias [V] -> as linear_topk.
    """
    x = x if x_bits is None else rounded(x, group_size)
    return greatest_logits(mx.quantized_matmul(x, w, scales, biases, True, group_size, bits), bias, count)


def rounded(x: mx.array, group_size: int) -> mx.array:
    """Return x with 8 bits a number: each group of the last axis in 127ths of its greatest size.

    A group with NaN or Inf stays as it is. Shapes: x [..., D] -> the same.
    """
    groups = x.astype(mx.float32).reshape(*x.shape[:-1], -1, group_size)
    top = mx.abs(groups).max(axis=-1, keepdims=True)
    steps = mx.where(top > 1e-30, top / 127, 0)
    q = mx.round(groups * mx.where(top > 1e-30, 127 / top, 0))
    is_finite = mx.isfinite(groups).all(axis=-1, keepdims=True)
    return mx.where(is_finite, q * steps, groups).reshape(x.shape).astype(x.dtype)


def greatest_logits(logits: mx.array, bias: mx.array | None, count: int) -> tuple[mx.array, mx.array, mx.array]:
    """Return what `linear_topk` does, of logits + bias. Shapes: logits [rows, V], bias [V]."""
    logits = logits.astype(mx.float32)
    logits = logits if bias is None else logits + bias
    if on_cpu():  # MLX's partition takes 30 ms a row of 50,000 there
        values, places, log_sums = numpy_topk(np.array(logits), count)
        return mx.array(values), mx.array(places.astype(np.int32)), mx.array(log_sums)
    places = mx.argpartition(-logits, kth=count - 1, axis=-1)[:, :count]
    places = mx.sort(places.astype(mx.int32), axis=-1)  # so that equal logits stay in their order
    values = mx.take_along_axis(logits, places, axis=-1)
    order = mx.argsort(-values, axis=-1)
    values = mx.take_along_axis(values, order, axis=-1)
    log_sums = mx.logsumexp(logits - values[:, :1], axis=-1)
    return values, mx.take_along_axis(places, order, axis=-1), log_sums


def numpy_topk(logits: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Do the same in NumPy. Shapes: logits [rows, V] float32 -> [rows, count], [rows, count], [rows]."""
    count = min(count, logits.shape[1])
    thresholds = -np.partition(-logits, count - 1, axis=-1)[:, count - 1]
    places = np.zeros((len(logits), count), np.int64)
    for row, own, threshold in zip(logits, places, thresholds, strict=True):
        likely = np.flatnonzero(~(row < threshold))
        own[:] = likely[np.argsort(-row[likely], kind="stable")[:count]]
    values = np.take_along_axis(logits, places, axis=-1)
    with np.errstate(invalid="ignore"):
        return values, places, np.log(np.exp(logits - values[:, :1]).sum(axis=-1))
