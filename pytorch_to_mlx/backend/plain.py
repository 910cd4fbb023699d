"""The operations of backend.ops with MLX's own ops: the path on Metal and CUDA, and wherever there are no CPU kernels.

Gradients are taken through these. Features are last; weights are as mlx.nn stores them.
"""

import functools
import math
import operator
from typing import Any

import mlx.core as mx

from .dtype import on_cpu

# MLX's own, whatever backend.patch_mlx() puts under their names later.
_softmax, _quantized_matmul = mx.softmax, mx.quantized_matmul
_attention, _layer_norm, _rms_norm = mx.fast.scaled_dot_product_attention, mx.fast.layer_norm, mx.fast.rms_norm
_conv1d, _conv2d, _conv_transpose1d = mx.conv1d, mx.conv2d, mx.conv_transpose1d
_exp, _sin, _cos, _tanh, _sigmoid, _erf = mx.exp, mx.sin, mx.cos, mx.tanh, mx.sigmoid, mx.erf


def exp(x: mx.array) -> mx.array:
    return _exp(x)


def sin(x: mx.array) -> mx.array:
    return _sin(x)


def cos(x: mx.array) -> mx.array:
    return _cos(x)


def tanh(x: mx.array) -> mx.array:
    return _tanh(x)


def sigmoid(x: mx.array) -> mx.array:
    return _sigmoid(x)


def erf(x: mx.array) -> mx.array:
    return _erf(x)


def add(*arrays: mx.array, scale: float = 1.0) -> mx.array:
    """The sum of arrays, times scale. Shapes: all the same."""
    y = functools.reduce(operator.add, arrays)
    return y if scale == 1.0 else y * scale


def snake(x: mx.array, alpha: mx.array) -> mx.array:
    """x + sin²(alpha x) / alpha.

    Shapes: x [..., D], alpha [D] -> [..., D].
    Source: Ziyin et al. 2020, "Neural Networks Fail to Learn Periodic Functions", eq. 3.
    """
    return x + mx.square(_sin(alpha * x)) / alpha


def gelu(x: mx.array) -> mx.array:
    """Exact GELU, x Φ(x). Source: Hendrycks & Gimpel 2016, section 2."""
    return x * (1 + _erf(x * math.sqrt(0.5))) * 0.5


def gelu_tanh(x: mx.array) -> mx.array:
    """The tanh approximation of GELU (`gelu_new`). Source: Hendrycks & Gimpel 2016, section 2."""
    return 0.5 * x * (1 + _tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def silu(x: mx.array) -> mx.array:
    """x · sigmoid(x)."""
    return x * _sigmoid(x)


def mish(x: mx.array) -> mx.array:
    """x · tanh(log(1 + e^x)). Source: Misra 2019, eq. 1."""
    return x * _tanh(mx.logaddexp(x, 0))


def elu(x: mx.array, alpha: float = 1.0) -> mx.array:
    """x where positive, else alpha (e^x - 1). Source: Clevert et al. 2016, eq. 16."""
    return mx.where(x > 0, x, alpha * mx.expm1(mx.minimum(x, 0)))


def leaky_relu(x: mx.array, negative_slope: float = 0.01) -> mx.array:
    """x where positive, else negative_slope · x."""
    return mx.where(x > 0, x, negative_slope * x)


def softmax(x: mx.array, axis: int = -1, *, scale: float = 1.0, mask: mx.array | None = None) -> mx.array:
    """softmax(scale · x + mask) along one axis. mask: additive, broadcasts to x."""
    x = x if scale == 1.0 else scale * x
    return _softmax(x if mask is None else x + mask, axis=axis)


def attention(q: mx.array, k: mx.array, v: mx.array, *, scale: float, mask: mx.array | str | None = None) -> mx.array:
    """Scaled dot-product attention.

    Shapes: q [B, H, L, D], k and v [B, Hkv, S, D] with H a multiple of Hkv -> [B, H, L, D].
    mask: None, "causal", or an array that broadcasts to [B, H, L, S]: boolean (True attends) or additive.
    Source: Vaswani et al. 2017, eq. 1.
    """
    if isinstance(mask, mx.array) and mask.dtype != q.dtype and mx.issubdtype(mask.dtype, mx.floating):
        # MLX takes no mask wider than its operands; what does not fit is as good as the lowest number that does.
        mask = mx.maximum(mask, mx.finfo(q.dtype).min).astype(q.dtype)
    return _attention(q, k, v, scale=scale, mask=mask)


def layer_norm(
    x: mx.array, weight: mx.array | None = None, bias: mx.array | None = None, eps: float = 1e-5
) -> mx.array:
    """Normalise the last axis: y = weight · (x - mean) / sqrt(var + eps) + bias.

    Shapes: x [B, ..., D], weight and bias [D], or [B, 1, ..., D] (AdaLN) -> [B, ..., D]. Source: Ba et al. 2016, eq. 3.
    """
    if all(p is None or p.ndim == 1 for p in (weight, bias)):
        return _layer_norm(x, weight, bias, eps)
    y = _layer_norm(x, None, None, eps)
    y = y if weight is None else y * weight
    return y if bias is None else y + bias


def rotate(x: mx.array, cos: mx.array, sin: mx.array) -> mx.array:
    """Turn each pair of features (i, half + i) by its position's angle; what follows the pairs stays.

    Shapes: x [..., L, D], cos and sin [L, half] with 2 · half <= D -> [..., L, D].
    Source: Su et al. 2021, eq. 34, in the layout of Hugging Face's Llama.
    """
    half = cos.shape[-1]
    a, b = x[..., :half], x[..., half : 2 * half]
    turned = [a * cos - b * sin, a * sin + b * cos]
    rest = [x[..., 2 * half :]] if 2 * half < x.shape[-1] else []
    return mx.concatenate([part.astype(x.dtype) for part in turned] + rest, axis=-1)


def rms_norm(x: mx.array, weight: mx.array | None = None, eps: float = 1e-5) -> mx.array:
    """Shapes: x [..., D], weight [D]. Source: Zhang & Sennrich 2019, eq. 4."""
    return _rms_norm(x, weight, eps)


def group_norm(
    x: mx.array, groups: int, weight: mx.array | None = None, bias: mx.array | None = None, eps: float = 1e-5
) -> mx.array:
    """Normalise each group of D / groups neighbouring channels over all steps.

    Shapes: x [B, L, D], weight and bias [D] -> [B, L, D]. Source: Wu & He 2018, eq. 7; torch.nn.GroupNorm's order.
    """
    y = x.reshape(*x.shape[:2], groups, -1)
    y = y - mx.mean(y, axis=(1, 3), keepdims=True)
    y = (y * mx.rsqrt(mx.mean(mx.square(y), axis=(1, 3), keepdims=True) + eps)).reshape(x.shape)
    y = y if weight is None else y * weight
    return y if bias is None else y + bias


def instance_norm(x: mx.array, eps: float, weight: mx.array | None = None, bias: mx.array | None = None) -> mx.array:
    """Normalise each channel over the time axis, then scale and shift: y = weight · x̂ + bias.

    Shapes: x [B, L, D], weight and bias [D] or [B, 1, D] (AdaIN) -> [B, L, D].
    Source: Ulyanov et al. 2016; Huang & Belongie 2017, eq. 8.
    """
    # Over 24,000 steps float32 sums are wrong by 5e-6 on a CPU, in every step alike; PyTorch's are float64 there too.
    wide = x.astype(mx.float64) if on_cpu() else x
    mean = mx.mean(wide, axis=-2, keepdims=True)
    scale = mx.rsqrt(mx.mean(mx.square(wide - mean), axis=-2, keepdims=True) + eps).astype(x.dtype)
    y = (x - mean.astype(x.dtype)) * (scale if weight is None else weight * scale)
    return y if bias is None else y + bias


def instance_norm_snake(x: mx.array, eps: float, weight: mx.array, bias: mx.array, alpha: mx.array) -> mx.array:
    """snake(instance_norm(x), alpha), by the kernel in one pass. Shapes: as in both."""
    return snake(instance_norm(x, eps, weight, bias), alpha)


def instance_norm_leaky_relu(
    x: mx.array, eps: float, weight: mx.array, bias: mx.array, negative_slope: float
) -> mx.array:
    """leaky_relu(instance_norm(x)), by the kernel in one pass. Shapes: as in both."""
    return leaky_relu(instance_norm(x, eps, weight, bias), negative_slope)


def linear(x: mx.array, weight: mx.array, bias: mx.array | None = None) -> mx.array:
    """Shapes: x [..., D_in], weight [D_out, D_in], bias [D_out] -> [..., D_out]."""
    return x @ weight.T if bias is None else mx.addmm(bias, x, weight.T)


def quantized_matmul(
    x: mx.array,
    w: mx.array,
    scales: mx.array,
    biases: mx.array | None = None,
    transpose: bool = True,
    group_size: int | None = None,
    bits: int | None = None,
    mode: str = "affine",
) -> mx.array:
    """x Wᵀ with W in MLX's groups, as mx.quantize made them: W = scales · w + biases by group of `group_size`.

    Shapes: x [..., D_in], w [D_out, D_in · bits / 32] uint32, scales and biases [D_out, D_in / group_size]
    -> [..., D_out].
    """
    return _quantized_matmul(x, w, scales, biases, transpose, group_size, bits, mode)


def conv1d(
    x: mx.array,
    weight: mx.array,
    bias: mx.array | None = None,
    *,
    stride: int = 1,
    padding: int | tuple[int, int] = 0,
    dilation: int = 1,
    groups: int = 1,
    add: mx.array | None = None,
) -> mx.array:
    """y[t] = bias + Σ_k weight[:, k] · x[t · stride + k · dilation - padding] + add[t].

    padding: of both sides, or (left, right).
    Shapes: x [B, L, D_in], weight [D_out, K, D_in / groups], bias [D_out], add and y [B, L_out, D_out],
    with L_out = (L + left + right - dilation · (K - 1) - 1) // stride + 1.
    """
    left, right = (padding, padding) if isinstance(padding, int) else padding
    if on_cpu() and (dilation > 1 or groups > 1 or weight.shape[1] <= 16):
        y = _shifted_conv1d(x, weight, stride=stride, padding=(left, right), dilation=dilation, groups=groups)
    else:
        if left != right:
            x, left = mx.pad(x, [(0, 0), (left, right), (0, 0)]), 0
        y = _conv1d(x, weight, stride=stride, padding=left, dilation=dilation, groups=groups)
    y = y if bias is None else y + bias
    if add is not None and add.shape != y.shape:
        raise ValueError(f"conv1d: add must have the shape of the result, {y.shape}, not {add.shape}")
    return y if add is None else y + add


def _shifted_conv1d(x, weight, *, stride, padding, dilation, groups):
    """conv1d as one product per tap, of x shifted by the tap: MLX's CPU loop is naive when dilated or grouped."""
    B, L, D_in = x.shape
    D_out, K, per_group = weight.shape
    L_out = (L + sum(padding) - (K - 1) * dilation - 1) // stride + 1
    if D_in != per_group * groups or D_out % groups or L_out < 1:
        raise ValueError(
            f"conv1d of {x.shape} with weight {weight.shape}, groups {groups}, padding {padding} has no result"
        )
    x = mx.pad(x, [(0, 0), padding, (0, 0)]) if any(padding) else x
    y: Any = None  # an array after the first tap
    for k in range(K):
        shifted = x[:, k * dilation : k * dilation + (L_out - 1) * stride + 1 : stride]  # [B, L_out, D_in]
        if groups == 1:
            tap = weight[:, k].T
            y = mx.addmm(y, shifted, tap) if y is not None else shifted @ tap
        elif per_group == 1 and D_out == groups:
            tap = shifted * weight[:, k, 0]
            y = tap if y is None else y + tap
        else:
            tap = weight[:, k].reshape(groups, 1, D_out // groups, per_group).swapaxes(-1, -2)
            rows = shifted.reshape(B, L_out, groups, per_group).transpose(2, 0, 1, 3)  # [G, B, L_out, D_in / G]
            y = rows @ tap if y is None else y + rows @ tap
    return y.transpose(1, 2, 0, 3).reshape(B, L_out, D_out) if y.ndim == 4 else y


def conv_transpose1d(
    x: mx.array,
    weight: mx.array,
    bias: mx.array | None = None,
    *,
    stride: int = 1,
    padding: int = 0,
    output_padding: int = 0,
    groups: int = 1,
) -> mx.array:
    """Shapes: x [B, L, D_in], weight [D_out, K, D_in / groups], bias [D_out] -> [B, L_out, D_out],
    with L_out = (L - 1) · stride - 2 · padding + K + output_padding.
    """
    if on_cpu():
        y = _phased_conv_transpose1d(
            x, weight, stride=stride, padding=padding, output_padding=output_padding, groups=groups
        )
    else:
        y = _conv_transpose1d(x, weight, stride=stride, padding=padding, output_padding=output_padding, groups=groups)
    return y if bias is None else y + bias


def _phased_conv_transpose1d(x, weight, *, stride, padding, output_padding, groups):
    """Ordinary convolutions whose outputs are the `stride` phases of each step: no multiplication by inserted zeros.

    Output q = stride·i + k, before `padding` is cut off. With q = stride·u + r and k = stride·j + r,
    y[stride·u + r] = Σ_j x[u - j] · w[stride·j + r]; where stride does not divide K, the last phases have a tap less.
    """
    B, L, _ = x.shape
    D_out, K, per_group = weight.shape
    taps = -(-K // stride)
    L_out = (L - 1) * stride - 2 * padding + K + output_padding
    if L_out < 1:
        raise ValueError(f"conv_transpose1d of {x.shape} with weight {weight.shape}, padding {padding} has no result")
    kernel = mx.pad(weight, [(0, 0), (0, taps * stride - K), (0, 0)]).reshape(D_out, taps, stride, per_group)

    def phases(first: int, last: int, count: int) -> mx.array:  # of `count` taps: [B, U, D_out, last - first]
        if not count:
            return mx.zeros((B, L + taps - 1, D_out, last - first), x.dtype)
        w = kernel[:, :count, first:last][:, ::-1].swapaxes(1, 2)  # taps backwards: a convolution correlates
        w = w.reshape(-1, count, per_group)
        y = _shifted_conv1d(x, w, stride=1, padding=(count - 1, taps - 1), dilation=1, groups=groups)
        return y.reshape(B, -1, D_out, last - first)

    full = K - (taps - 1) * stride
    parts = [phases(0, full, taps)] + ([phases(full, stride, taps - 1)] if full < stride else [])
    y = mx.concatenate(parts, axis=-1).swapaxes(2, 3).reshape(B, -1, D_out)
    missing = padding + L_out - y.shape[1]
    y = mx.pad(y, [(0, 0), (0, missing), (0, 0)]) if missing > 0 else y
    return y[:, padding : padding + L_out]


def conv2d(
    x: mx.array,
    weight: mx.array,
    bias: mx.array | None = None,
    *,
    stride: int | tuple[int, int] = 1,
    padding: int | tuple[int, int] = 0,
    dilation: int | tuple[int, int] = 1,
    groups: int = 1,
) -> mx.array:
    """Shapes: x [B, H, W, C_in], weight [C_out, KH, KW, C_in / groups], bias [C_out] -> [B, H_out, W_out, C_out]."""
    y = _conv2d(x, weight, stride=stride, padding=padding, dilation=dilation, groups=groups)
    return y if bias is None else y + bias


def lstm(gates: mx.array, weight: mx.array) -> mx.array:
    """N independent LSTM recurrences from zero state, as the two directions of a bidirectional one.

    Shapes: gates [N, B, L, 4D] (x Wx + bias, in the order i, f, g, o), weight [N, 4D, D] -> h [N, B, L, D].
    Source: Hochreiter & Schmidhuber 1997; torch.nn.LSTM's equations.
    """
    zero = mx.zeros((*gates.shape[:2], weight.shape[-1]), gates.dtype)
    return lstm_steps(gates, weight, zero, zero)[0]


def lstm_steps(gates: mx.array, weight: mx.array, hidden: mx.array, cell: mx.array) -> tuple[mx.array, mx.array]:
    """The same from a state, for streams. The state after it is h[:, :, -1] and the cell that is returned.

    Shapes: gates [N, B, L, 4D], weight [N, 4D, D], hidden and cell [N, B, D] -> h [N, B, L, D], cell [N, B, D].
    """
    recurrent, outputs = weight.swapaxes(-1, -2), []
    for step in range(gates.shape[2]):
        i, f, g, o = mx.split(gates[:, :, step] + hidden @ recurrent, 4, axis=-1)
        cell = _sigmoid(f) * cell + _sigmoid(i) * _tanh(g)
        hidden = _sigmoid(o) * _tanh(cell)
        outputs.append(hidden)
    return mx.stack(outputs, axis=2), cell
