"""Normalisation layers in evaluation mode, and the training forms that only read batch statistics."""

import math

from ...graph import Unsupported
from ..recorder import fn, let, mx
from .op_table import lowers
from .types import is_static


@lowers("layer_norm.default")
def layer_norm(x, normalized_shape, weight=None, bias=None, eps=1e-5, cudnn_enable=True):
    if len(normalized_shape) == 1:
        return mx.fast.layer_norm(x, weight, bias, eps)
    return fn.layer_norm(x, len(normalized_shape), weight, bias, eps)


@lowers("native_layer_norm.default")
def native_layer_norm(x, normalized_shape, weight, bias, eps):
    return tuple(fn.native_layer_norm(x, len(normalized_shape), weight, bias, eps))


@lowers("rms_norm.default")
def rms_norm(x, normalized_shape, weight=None, eps=None):
    eps = mx.finfo(x.dtype).eps if eps is None else eps
    if len(normalized_shape) == 1:
        return mx.fast.rms_norm(x, weight, eps)
    x = let("x", x)
    axes = tuple(range(-len(normalized_shape), 0))
    normed = x * mx.rsqrt(mx.mean(mx.square(x), axis=axes, keepdims=True) + eps)
    return normed if weight is None else normed * weight


@lowers("group_norm.default")
def group_norm(x, num_groups, weight=None, bias=None, eps=1e-5, cudnn_enabled=True):
    return fn.group_norm(x, num_groups, weight, bias, eps)[0]


@lowers("native_group_norm.default")
def native_group_norm(x, weight, bias, N, C, HxW, group, eps):
    return tuple(fn.group_norm(x, group, weight, bias, eps))


def _channel(value, ndim: int):
    """Make a vector of channels broadcast over [B, C, *S]. Shapes: value [C] -> [C, 1, …]."""
    return value if ndim == 2 or value is None else value.reshape([-1] + [1] * (ndim - 2))


def _normalize(x, mean, variance, weight, bias, eps):
    scale = mx.rsqrt(variance + eps)
    scale = scale if weight is None else scale * weight
    scale = let("scale", scale)
    shift = -mean * scale if bias is None else bias - mean * scale
    return x * _channel(scale, x.ndim) + _channel(shift, x.ndim)


def _batch_moments(x):
    axes = (0, *range(2, x.ndim))
    return let("mean", mx.mean(x, axis=axes)), let("variance", mx.var(x, axis=axes))


@lowers("batch_norm.default")
def batch_norm(x, weight, bias, running_mean, running_var, training, momentum, eps, cudnn_enabled=True):
    if not training and running_mean is not None:
        return _normalize(x, running_mean, running_var, weight, bias, eps)
    x = let("x", x)
    mean, variance = _batch_moments(x)
    return _normalize(x, mean, variance, weight, bias, eps)


@lowers("native_batch_norm.default", "_native_batch_norm_legit.default", "_native_batch_norm_legit.no_stats")
def native_batch_norm(x, weight, bias, running_mean=None, running_var=None, training=False, momentum=0.1, eps=1e-5):
    if not training and running_mean is not None:
        empty = mx.zeros([0])
        return _normalize(x, running_mean, running_var, weight, bias, eps), empty, empty
    x = let("x", x)
    mean, variance = _batch_moments(x)
    return _normalize(x, mean, variance, weight, bias, eps), mean, mx.rsqrt(variance + eps)


@lowers("_native_batch_norm_legit_no_training.default")
def native_batch_norm_no_training(x, weight, bias, running_mean, running_var, momentum, eps):
    empty = mx.zeros([0])
    return _normalize(x, running_mean, running_var, weight, bias, eps), empty, empty


def _running(running_mean, running_var, mean, variance, momentum, x):
    """Return the running mean and variance after one more batch."""
    count = math.prod(x.shape[a] for a in range(x.ndim) if a != 1)
    rest = max(count - 1, 1) if is_static(count) else mx.maximum(count - 1, 1)
    unbiased = variance * (count / rest)
    return (
        running_mean * (1 - momentum) + mean * momentum,
        running_var * (1 - momentum) + unbiased * momentum,
    )


@lowers("_native_batch_norm_legit_functional.default")
def batch_norm_functional(x, weight, bias, running_mean, running_var, training, momentum, eps):
    y, mean, scale = native_batch_norm(x, weight, bias, running_mean, running_var, training, momentum, eps)
    if not training:
        return y, mean, scale, running_mean, running_var
    return (y, mean, scale, *_running(running_mean, running_var, *_batch_moments(x), momentum, x))


@lowers("_batch_norm_with_update_functional.default")
def batch_norm_with_update(x, weight, bias, running_mean, running_var, momentum, eps):
    y, mean, scale = native_batch_norm(x, weight, bias, running_mean, running_var, True, momentum, eps)
    reserve = mx.zeros([0], dtype=mx.uint8)
    return (y, mean, scale, reserve, *_running(running_mean, running_var, *_batch_moments(x), momentum, x))


@lowers("_batch_norm_no_update.default")
def batch_norm_no_update(x, weight, bias, running_mean, running_var, momentum, eps):
    y, mean, scale = native_batch_norm(x, weight, bias, running_mean, running_var, False, momentum, eps)
    return y, mean, scale, mx.zeros([0], dtype=mx.uint8)


@lowers("instance_norm.default")
def instance_norm(x, weight, bias, running_mean, running_var, use_input_stats, momentum, eps, cudnn_enabled=True):
    if not use_input_stats:
        return _normalize(x, running_mean, running_var, weight, bias, eps)
    if running_mean is not None:
        raise Unsupported("instance_norm: updating running_mean in training mode is refused")
    return fn.instance_norm(x, weight, bias, eps)
