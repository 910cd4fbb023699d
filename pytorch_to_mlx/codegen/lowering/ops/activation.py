"""Activations, by the exact function that torch computes: a GELU is never swapped for its approximation."""

import math

from ...graph import Unsupported
from ..recorder import fn, let, mx, nn
from .op_table import lowers
from .types import is_float, is_static, to


@lowers("relu.default")
def relu(x):
    return nn.relu(x)


@lowers("relu6.default")
def relu6(x):
    return nn.relu6(x)


@lowers("gelu.default")
def gelu(x, approximate="none"):
    if approximate == "tanh":
        return nn.gelu_approx(x)
    if approximate != "none":
        raise Unsupported(f"gelu: argument approximate={approximate!r} is not implemented")
    return nn.gelu(x)


@lowers("silu.default")
def silu(x):
    return nn.silu(x)


@lowers("mish.default")
def mish(x):
    return nn.mish(x)


@lowers("leaky_relu.default")
def leaky_relu(x, negative_slope=0.01):
    if 0 <= negative_slope <= 1:
        return nn.leaky_relu(x, negative_slope)
    x = let("x", x)
    return mx.where(x > 0, x, x * negative_slope)


@lowers("prelu.default", "_prelu_kernel.default")
def prelu(x, weight):
    x = let("x", x)
    if weight.ndim == 1 and x.ndim > 1 and weight.shape[0] != 1:
        weight = weight.reshape([1, -1] + [1] * (x.ndim - 2))
    return mx.where(x > 0, x, x * weight)


@lowers("elu.default")
def elu(x, alpha=1, scale=1, input_scale=1):
    if scale == 1 and input_scale == 1:
        return nn.elu(x, alpha) if alpha != 1 else nn.elu(x)
    x = let("x", x)
    inner = x if input_scale == 1 else x * input_scale
    value = mx.where(x > 0, x, alpha * mx.expm1(mx.minimum(inner, 0)))
    return value if scale == 1 else value * scale


@lowers("celu.default")
def celu(x, alpha=1.0):
    return elu(x, alpha, 1, 1 / alpha)


@lowers("selu.default")
def selu(x):
    return elu(x, 1.6732632423543772, 1.0507009873554805)


@lowers("hardtanh.default")
def hardtanh(x, min_val=-1, max_val=1):
    return mx.clip(x, min_val, max_val)


@lowers("hardsigmoid.default")
def hardsigmoid(x):
    return mx.clip(x + 3, 0, 6) / 6


@lowers("hardswish.default")
def hardswish(x):
    return nn.hardswish(x)


@lowers("hardshrink.default")
def hardshrink(x, lambd=0.5):
    x = let("x", x)
    return mx.where((x >= -lambd) & (x <= lambd), 0, x)


@lowers("softshrink.default")
def softshrink(x, lambd=0.5):
    x = let("x", x)
    return mx.where(x > lambd, x - lambd, mx.where(x < -lambd, x + lambd, x * 0))


@lowers("softplus.default")
def softplus(x, beta=1, threshold=20):
    if beta == 1 and threshold >= 20:  # above 20 the two forms differ by less than a float32 can tell
        return nn.softplus(x)
    x = let("x", x)
    scaled = x if beta == 1 else x * beta
    value = mx.logaddexp(scaled, 0)
    return mx.where(scaled > threshold, x, value if beta == 1 else value / beta)


@lowers("log_sigmoid.default", "log_sigmoid_forward.default")
def log_sigmoid(x, result):
    value = -mx.logaddexp(-x, 0)
    return (value, None) if isinstance(result, list | tuple) else value  # the buffer is for a gradient


@lowers("threshold.default")
def threshold(x, threshold, value):
    return mx.where(x <= threshold, value, x)


@lowers("glu.default")
def glu(x, dim=-1):
    return nn.glu(x, axis=dim)


@lowers("logit.default")
def logit(x, eps=None, *, result):
    x = to(x, result.dtype)
    if eps is not None:
        x = mx.clip(x, eps, 1 - eps)
    x = let("p", x)
    return mx.log(x / (1 - x))


@lowers("softmax.int", "_softmax.default")
def softmax(x, dim, half_to_float=False, dtype=None, *, result):
    return mx.softmax(to(x, result.dtype), axis=dim) if x.ndim else mx.ones_like(x)


@lowers("_safe_softmax.default")
def safe_softmax(x, dim, dtype=None, *, result):
    x = let("scores", to(x, result.dtype))
    return mx.where(mx.all(x == -math.inf, axis=dim, keepdims=True), 0, mx.softmax(x, axis=dim))


@lowers("log_softmax.int", "_log_softmax.default")
def log_softmax(x, dim, half_to_float=False, dtype=None, *, result):
    x = to(x, result.dtype)
    if x.ndim and is_static(x.shape[dim]) and x.shape[dim] == 0:
        return x
    return nn.log_softmax(x, axis=dim) if x.ndim else mx.zeros_like(x)


@lowers("_softmax_backward_data.default")
def softmax_backward(grad_output, output, dim, input_dtype):
    product = let("product", grad_output * output)
    return product - output * mx.sum(product, axis=dim, keepdims=True)


@lowers("dropout.default", "feature_dropout.default", "alpha_dropout.default", "feature_alpha_dropout.default")
def dropout(x, p, train):
    if train and p > 0:
        raise Unsupported("dropout in training mode is refused: it is random", fix="call .eval() on the module")
    return x


@lowers("native_dropout_backward.default")
def dropout_backward(grad_output, mask, scale):
    return grad_output * mask.astype(grad_output.dtype) * scale


@lowers("rrelu_with_noise_functional.default", "rrelu_with_noise.default", "rrelu.default")
def rrelu(x, lower=0.125, upper=1 / 3, training=False, noise=None, *, result):
    if training:
        raise Unsupported("rrelu in training mode is refused: it is random", fix="call .eval() on the module")
    value = leaky_relu(x, (lower + upper) / 2)
    return (value, noise) if isinstance(result, list | tuple) else value


@lowers("sinc.default", "special_sinc.default")
def sinc(x, result):
    x = let("x", to(x, result.dtype) * math.pi)
    return mx.where(x == 0, 1, mx.sin(x) / mx.where(x == 0, 1, x))


@lowers("xlogy.Tensor", "xlogy.Scalar_Other", "xlogy.Scalar_Self", "special_xlogy.default")
def xlogy(x, other, result):
    x, other = _float_pair(x, other, result)
    return mx.where(mx.isnan(other), mx.nan, mx.where(x == 0, 0, x * mx.log(other)))


@lowers("special_xlog1py.default", "special_xlog1py.other_scalar", "special_xlog1py.self_scalar")
def xlog1py(x, other, result):
    x, other = _float_pair(x, other, result)
    return mx.where(mx.isnan(other), mx.nan, mx.where(x == 0, 0, x * mx.log1p(other)))


def _float_pair(x, other, result):
    pair = [
        mx.array(item, result.dtype) if isinstance(item, int | float) else to(item, result.dtype) for item in (x, other)
    ]
    return let("x", pair[0]), let("y", pair[1])


@lowers("logaddexp.default")
def logaddexp(x, other, result):
    return mx.logaddexp(to(x, result.dtype), to(other, result.dtype))


@lowers("logaddexp2.default")
def logaddexp2(x, other, result):
    scale = math.log(2)
    return mx.logaddexp(to(x, result.dtype) * scale, to(other, result.dtype) * scale) / scale


@lowers("special_entr.default")
def entr(x, result):
    x = let("p", to(x, result.dtype))
    return mx.where(mx.isnan(x), x, mx.where(x > 0, -x * mx.log(mx.maximum(x, 1e-45)), mx.where(x == 0, 0, -math.inf)))


@lowers("native_channel_shuffle.default", "channel_shuffle.default")
def channel_shuffle(x, groups):
    return fn.channel_shuffle(x, groups)


@lowers("square.default")
def square(x):
    return mx.square(x) if is_float(x.dtype) else x * x
