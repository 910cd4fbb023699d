"""Pooling over windows and to a given size."""

from ...graph import Meta
from ..recorder import fn, mx, nn
from .conv import channels_first, channels_last
from .op_table import lowers
from .types import is_float, is_static, pair


def _window(kernel_size, stride, padding, dilation, count):
    kernel = pair(kernel_size, count)
    return kernel, pair(stride, count) if stride else kernel, pair(padding, count), pair(dilation, count)


def _layer(kind: str, x, kernel_size, stride, padding, count: int):
    """Write the pooling layer of mlx.nn, which keeps channels last. Shapes: x [B, C, *S] -> [B, C, *S']."""
    kernel, step, margin = (_one(pair(item, count)) for item in (kernel_size, stride or kernel_size, padding))
    options = ({} if step == kernel else {"stride": step}) | ({"padding": margin} if margin else {})
    return channels_first(getattr(nn, f"{kind}Pool{count}d")(kernel, **options)(channels_last(x)))


def _one(values: tuple):
    return values[0] if len(set(values)) == 1 else values


def _max_pool(count: int):
    def values(x, kernel_size, stride=(), padding=0, dilation=1, ceil_mode=False):
        if set(pair(dilation, count)) == {1} and not ceil_mode and x.ndim == count + 2 and is_float(x.dtype):
            return _layer("Max", x, kernel_size, stride, padding, count)
        return fn.max_pool(x, *_window(kernel_size, stride, padding, dilation, count), ceil_mode)

    def with_indices(x, kernel_size, stride=(), padding=0, dilation=1, ceil_mode=False):
        return fn.max_pool_indices(x, *_window(kernel_size, stride, padding, dilation, count), ceil_mode)

    for function in (values, with_indices):
        function.__module__ = __name__
    lowers(f"max_pool{count}d.default")(values)
    lowers(f"max_pool{count}d_with_indices.default")(with_indices)


def _avg_pool(count: int):
    def average(x, kernel_size, stride=(), padding=0, ceil_mode=False, count_include_pad=True, divisor_override=None):
        whole = count_include_pad or not any(pair(padding, count))
        if whole and not ceil_mode and divisor_override is None and x.ndim == count + 2:
            return _layer("Avg", x, kernel_size, stride, padding, count)
        kernel, stride, padding, _ = _window(kernel_size, stride, padding, 1, count)
        return fn.avg_pool(x, kernel, stride, padding, ceil_mode, count_include_pad, divisor_override)

    average.__module__ = __name__
    lowers(f"avg_pool{count}d.default")(average)


for _count in (1, 2, 3):
    _max_pool(_count)
    _avg_pool(_count)


def _adaptive(x, output_size, count):
    size = list(pair(output_size, count))
    axes = tuple(range(-count, 0))
    if all(is_static(s) and s == 1 for s in size):
        return mx.mean(x, axis=axes, keepdims=True)
    return fn.adaptive_avg_pool(x, size)


@lowers("adaptive_avg_pool1d.default")
def adaptive_avg_pool1d(x, output_size):
    return _adaptive(x, output_size, 1)


@lowers("adaptive_avg_pool2d.default", "_adaptive_avg_pool2d.default")
def adaptive_avg_pool2d(x, output_size):
    return _adaptive(x, output_size, 2)


@lowers("adaptive_avg_pool3d.default", "_adaptive_avg_pool3d.default")
def adaptive_avg_pool3d(x, output_size):
    return _adaptive(x, output_size, 3)


@lowers("adaptive_max_pool1d.default")
def adaptive_max_pool1d(x, output_size):
    return fn.adaptive_max_pool(x, list(pair(output_size, 1)))


@lowers("adaptive_max_pool2d.default")
def adaptive_max_pool2d(x, output_size):
    return fn.adaptive_max_pool(x, list(pair(output_size, 2)))


@lowers("adaptive_max_pool3d.default")
def adaptive_max_pool3d(x, output_size):
    return fn.adaptive_max_pool(x, list(pair(output_size, 3)))


@lowers("max_unpool2d.default")
def max_unpool2d(x, indices, output_size):
    return fn.max_unpool(x, indices, list(output_size))


@lowers("max_unpool3d.default")
def max_unpool3d(x, indices, output_size, stride, padding):
    return fn.max_unpool(x, indices, list(output_size))


@lowers("fractional_max_pool2d.default", "fractional_max_pool3d.default")
def fractional_max_pool(x, kernel_size, output_size, random_samples):
    return fn.fractional_max_pool(x, list(kernel_size), list(output_size), random_samples)


@lowers("max_pool2d_with_indices_backward.default")
def max_pool2d_backward(grad_output, x, kernel_size, stride, padding, dilation, ceil_mode, indices, *, result: Meta):
    return fn.max_unpool(grad_output, indices, list(x.shape[-2:]), True)
