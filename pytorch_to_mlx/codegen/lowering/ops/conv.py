"""Convolutions. torch keeps channels first and MLX last: the lowering transposes, the layout pass cancels."""

from ...graph import Unsupported
from ..recorder import Recorded, fn, mx
from .op_table import lowers
from .types import is_complex, is_static, pair


def channels_last(x):
    """Move the channels to the last axis; written without a transpose where x has a form with channels last.

    Shapes: x [B, C, *S] -> [B, *S, C].
    """
    if isinstance(x, Recorded) and x.channels_last_form is not None:
        return x.channels_last_form
    y = x.transpose(0, *range(2, x.ndim), 1)
    if isinstance(y, Recorded):
        y.announced_shape = (x.shape[0], *x.shape[2:], x.shape[1])
    return y


def channels_first(y):
    """Move the channels from the last axis to axis 1. Shapes: y [B, *S, C] -> [B, C, *S]."""
    x = y.transpose(0, y.ndim - 1, *range(1, y.ndim - 1))
    if isinstance(x, Recorded):
        x.channels_last_form = y
    return x


def _convolve(x, weight, bias, stride, padding, dilation, groups, count):
    """Write a convolution over `count` axes; padding holds a number or (before, after) per axis.

    Shapes: x [B, I, *S] or [I, *S], weight [O, I/g, *K] -> [B, O, *S'] or [O, *S'].
    """
    if is_complex(x.dtype):
        raise Unsupported("convolution of complex numbers")
    single = x.ndim == count + 1
    x = mx.expand_dims(x, 0) if single else x
    stride, dilation = pair(stride, count), pair(dilation, count)
    uneven = any(isinstance(p, tuple) for p in padding)
    x, weight = channels_last(x), weight_last(weight)
    if uneven:
        before, after = [list(side) for side in zip(*padding, strict=True)]
        y = mx.conv_general(x, weight, list(stride), (before, after), list(dilation), groups=groups)
    else:
        options = _options(stride=stride, padding=padding, dilation=dilation, groups=groups)
        if count == 3 and groups > 1:
            y = fn.grouped_conv3d(x, weight, **options)
        else:
            y = getattr(mx, f"conv{count}d")(x, weight, **options)
    y = y if bias is None else y + bias
    y = channels_first(y)
    return y.squeeze(0) if single else y


def weight_last(weight):
    """Bring a kernel into MLX's order. Shapes: weight [O, I, *K] -> [O, *K, I]."""
    return weight.transpose(0, *range(2, weight.ndim), 1)


def _options(**values):
    """Return the options that differ from MLX's defaults, as one number where all axes agree."""
    defaults = {"stride": 1, "padding": 0, "dilation": 1, "output_padding": 0, "groups": 1}
    short = {k: v if isinstance(v, int) or not is_static(v[0]) or len(set(v)) > 1 else v[0] for k, v in values.items()}
    return {k: v for k, v in short.items() if not (isinstance(v, int) and v == defaults[k])}


def _needs_own(kernel, stride, padding, output_padding, dilation) -> bool:
    """Tell whether MLX's transposed convolution lacks an axis of this kind, or may, where a size is dynamic."""
    return not is_static(kernel) or output_padding >= stride or padding > dilation * (kernel - 1)


def _convolve_transposed(x, weight, bias, stride, padding, output_padding, groups, dilation, count):
    """Write a transposed convolution over `count` axes.

    Shapes: x [B, I, *S] or [I, *S], weight [I, O/g, *K] -> [B, O, *S'] or [O, *S'].
    """
    single = x.ndim == count + 1
    x = mx.expand_dims(x, 0) if single else x
    stride, padding = pair(stride, count), pair(padding, count)
    output_padding, dilation = pair(output_padding, count), pair(dilation, count)
    sizes = list(zip(weight.shape[2:], stride, padding, output_padding, dilation, strict=True))
    if groups > 1:
        weight = fn.split_transposed_groups(weight, groups)
    else:
        weight = weight.transpose(1, *range(2, weight.ndim), 0)  # [I, O, *K] -> [O, *K, I]
    x = channels_last(x)
    if count == 3 or any(_needs_own(*size) for size in sizes):
        y = fn.conv_transpose(x, weight, stride, padding, output_padding, dilation, groups)
    else:
        options = _options(
            stride=stride, padding=padding, dilation=dilation, output_padding=output_padding, groups=groups
        )
        y = getattr(mx, f"conv_transpose{count}d")(x, weight, **options)
    y = y if bias is None else y + bias
    y = channels_first(y)
    return y.squeeze(0) if single else y


@lowers("conv1d.default", "conv2d.default", "conv3d.default")
def conv(x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    count = weight.ndim - 2
    return _convolve(x, weight, bias, stride, pair(padding, count), dilation, groups, count)


@lowers("conv1d.padding", "conv2d.padding", "conv3d.padding")
def conv_named_padding(x, weight, bias=None, stride=1, padding="valid", dilation=1, groups=1):
    count = weight.ndim - 2
    widths = [0] * count
    if padding == "same":
        totals = [d * (k - 1) for d, k in zip(pair(dilation, count), weight.shape[2:], strict=True)]
        widths = [t // 2 if t % 2 == 0 else (t // 2, t - t // 2) for t in totals]
        if any(isinstance(w, tuple) for w in widths):
            widths = [w if isinstance(w, tuple) else (w, w) for w in widths]
    return _convolve(x, weight, bias, stride, tuple(widths), dilation, groups, count)


@lowers("conv_transpose1d.default", "conv_transpose2d.input", "conv_transpose3d.input")
def conv_transpose(x, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1):
    return _convolve_transposed(x, weight, bias, stride, padding, output_padding, groups, dilation, weight.ndim - 2)


@lowers("convolution.default", "_convolution.default", "convolution_overrideable.default")
def convolution(
    x, weight, bias, stride, padding, dilation, transposed, output_padding, groups,
    benchmark=False, deterministic=False, cudnn_enabled=False, allow_tf32=False,
):  # fmt: skip
    if transposed:
        return conv_transpose(x, weight, bias, stride, padding, output_padding, groups, dilation)
    return conv(x, weight, bias, stride, padding, dilation, groups)


@lowers("im2col.default")
def im2col(x, kernel_size, dilation, padding, stride):
    return fn.im2col(x, pair(kernel_size, 2), pair(dilation, 2), pair(padding, 2), pair(stride, 2))


@lowers("col2im.default")
def col2im(x, output_size, kernel_size, dilation, padding, stride):
    return fn.col2im(x, list(output_size), pair(kernel_size, 2), pair(dilation, 2), pair(padding, 2), pair(stride, 2))
