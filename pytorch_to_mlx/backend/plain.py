"""The operations of backend.ops written with MLX's own: used on Metal and CUDA, and wherever there are no CPU kernels.

The kernels take their gradients through these, and call them by name with the same argument names. Features are last;
weights are laid out as mlx.nn stores them. exp to erf only wrap MLX's functions as they were before patch_mlx().
"""

import functools
import math
from typing import Any

import mlx.core as mx

from .dtype import on_cpu
from .plain_topk import linear_topk, quantized_topk, rounded  # noqa: F401  these stand in a file of their own

# MLX's own functions, whatever backend.patch_mlx() puts under their names later.
_softmax, _quantized_matmul = mx.softmax, mx.quantized_matmul
_attention, _layer_norm, _rms_norm = mx.fast.scaled_dot_product_attention, mx.fast.layer_norm, mx.fast.rms_norm
_conv1d, _conv2d, _conv_transpose1d = mx.conv1d, mx.conv2d, mx.conv_transpose1d
_exp, _sin, _cos, _tanh, _sigmoid, _erf = mx.exp, mx.sin, mx.cos, mx.tanh, mx.sigmoid, mx.erf
_add, _subtract, _multiply, _divide, _square, _pad = mx.add, mx.subtract, mx.multiply, mx.divide, mx.square, mx.pad


def exp(x: mx.array) -> mx.array:
    """Return e^x of each number. Shapes: x, any -> the same."""
    return _exp(x)


def sin(x: mx.array) -> mx.array:
    """Return the sine of each number. Shapes: x, any -> the same."""
    return _sin(x)


def cos(x: mx.array) -> mx.array:
    """Return the cosine of each number. Shapes: x, any -> the same."""
    return _cos(x)


def tanh(x: mx.array) -> mx.array:
    """Return the hyperbolic tangent of each number. Shapes: x, any -> the same."""
    return _tanh(x)


def sigmoid(x: mx.array) -> mx.array:
    """Return 1 / (1 + e^-x) of each number. Shapes: x, any -> the same."""
    return _sigmoid(x)


def erf(x: mx.array) -> mx.array:
    """Return the error function of each number. Shapes: x, any -> the same."""
    return _erf(x)


def add(*arrays: mx.array, scale: float = 1.0) -> mx.array:
    """Return the sum of arrays, times scale. Shapes: any, all alike -> the same."""
    y = functools.reduce(_add, arrays)
    return y if scale == 1.0 else y * scale


def subtract(a: mx.array, b: mx.array) -> mx.array:
    """Return a - b. Shapes: any that broadcast -> as both."""
    return _subtract(a, b)


def multiply(a: mx.array, b: mx.array) -> mx.array:
    """Return a · b. Shapes: any that broadcast -> as both."""
    return _multiply(a, b)


def divide(a: mx.array, b: mx.array) -> mx.array:
    """Return a / b. Shapes: any that broadcast -> as both."""
    return _divide(a, b)


def square(x: mx.array) -> mx.array:
    """Return x². Shapes: x, any -> the same."""
    return _square(x)


def pad_axis(x: mx.array, *, axis: int, before: int, after: int, edge: bool) -> mx.array:
    """Lengthen one axis with zeros, or with its first and last values if `edge`. Shapes: x, any -> longer on `axis`."""
    widths = [(0, 0)] * x.ndim
    widths[axis] = (before, after)
    return _pad(x, widths, mode="edge" if edge else "constant")


def snake(x: mx.array, alpha: mx.array) -> mx.array:
    """Return x + sin²(alpha x) / alpha.

    Shapes: x [..., D], alpha [D] -> [..., D].
    Source: Ziyin et al. 2020, "Neural Networks Fail to Learn Periodic Functions", eq. 3.
    """
    return x + mx.square(_sin(alpha * x)) / alpha


def gelu(x: mx.array) -> mx.array:
    """Return x Φ(x), the exact GELU. Shapes: x, any -> the same. Source: Hendrycks & Gimpel 2016, section 2."""
    return x * (1 + _erf(x * math.sqrt(0.5))) * 0.5


def gelu_tanh(x: mx.array) -> mx.array:
    """Return GELU's tanh approximation (`gelu_new`).

    Shapes: x, any -> the same. Source: Hendrycks & Gimpel 2016, section 2.
    """
    return 0.5 * x * (1 + _tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def silu(x: mx.array) -> mx.array:
    """Return x · sigmoid(x). Shapes: x, any -> the same. Source: Elfwing et al. 2017 (SiLU)."""
    return x * _sigmoid(x)


def mish(x: mx.array) -> mx.array:
    """Return x · tanh(log(1 + e^x)). Shapes: x, any -> the same. Source: Misra 2019, eq. 1."""
    return x * _tanh(mx.logaddexp(x, 0))


def elu(x: mx.array, alpha: float = 1.0) -> mx.array:
    """Return x where positive, else alpha (e^x - 1).

    Shapes: x, any -> the same. Source: Clevert et al. 2016, eq. 16.
    """
    return mx.where(x > 0, x, alpha * mx.expm1(mx.minimum(x, 0)))


def relu(x: mx.array) -> mx.array:
    """Return x where positive, else 0. Shapes: x, any -> the same."""
    return mx.maximum(x, 0)


def leaky_relu(x: mx.array, negative_slope: float = 0.01) -> mx.array:
    """Return x where positive, else negative_slope · x.

    Shapes: x, any -> the same. Source: Maas et al. 2013, section 2.
    """
    return mx.where(x > 0, x, negative_slope * x)


def _activate(y: mx.array, slope: float | None, floor: float) -> mx.array:
    """Return the leaky ReLU of y, at least floor; y itself if slope is None. Shapes: y, any -> the same."""
    if slope is None:
        return y
    return mx.maximum(leaky_relu(y, slope), floor) if floor > -math.inf else leaky_relu(y, slope)


def power(x: mx.array) -> mx.array:
    """Return a² + b² of rows that hold a and b side by side, such as a transform's real and imaginary parts.

    Shapes: x [..., 2D] -> [..., D].
    """
    a, b = mx.split(x, 2, axis=-1)
    return a * a + b * b


def softmax(x: mx.array, axis: int = -1, *, scale: float = 1.0, mask: mx.array | None = None) -> mx.array:
    """Return softmax(scale · x + mask) along one axis. Shapes: x, any, mask (additive) broadcasts to x -> as x."""
    x = x if scale == 1.0 else scale * x
    return _softmax(x if mask is None else x + mask, axis=axis)


def attention(q: mx.array, k: mx.array, v: mx.array, *, scale: float, mask: mx.array | str | None = None) -> mx.array:
    """Return softmax(scale · q kᵀ + mask) v, scaled dot-product attention.

    mask: None, "causal", or an array, boolean (True attends) or additive.
    Shapes: q [B, H, L, D], k and v [B, Hkv, S, D] with H a multiple of Hkv, mask broadcasts to [B, H, L, S]
    -> [B, H, L, D].
    Source: Vaswani et al. 2017, eq. 1.
    """
    if isinstance(mask, mx.array) and mask.dtype != q.dtype and mx.issubdtype(mask.dtype, mx.floating):
        # MLX takes no mask wider than its operands. A number below their range masks as well as the lowest in it.
        mask = mx.maximum(mask, mx.finfo(q.dtype).min).astype(q.dtype)
    return _attention(q, k, v, scale=scale, mask=mask)


def attention_by_rows(
    q: mx.array, keys_values: mx.array, rows: mx.array, mask: mx.array | None = None, *, heads: int, scale: float
) -> mx.array:
    """Attend with one query in each row to keys and values that stand in other rows: at time s in row rows[:, s].

    Shapes: q [R, M], keys_values [T, N, 2 · M], rows [R, S] with S <= T, mask [heads, S] (additive) -> [R, M].
    """
    own = keys_values[mx.arange(rows.shape[1])[None], rows].reshape(*rows.shape, 2 * heads, -1)  # [R, S, 2 H, D]
    k, v = mx.split(own.transpose(0, 2, 1, 3), 2, axis=1)
    mask = None if mask is None else mask[None, :, None, :]
    return attention(q.reshape(q.shape[0], heads, 1, -1), k, v, scale=scale, mask=mask).reshape(q.shape)


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
    """Rotate each pair of features (i, half + i) by its position's angle; features after the pairs do not change.

    Shapes: x [..., L, D], cos and sin [L, half] with 2 · half <= D -> [..., L, D].
    Source: Su et al. 2021, eq. 34, in the layout of Hugging Face's Llama.
    """
    half = cos.shape[-1]
    a, b = x[..., :half], x[..., half : 2 * half]
    pairs = [a * cos - b * sin, a * sin + b * cos]
    rest = [x[..., 2 * half :]] if 2 * half < x.shape[-1] else []
    return mx.concatenate([part.astype(x.dtype) for part in pairs] + rest, axis=-1)


def rms_norm(x: mx.array, weight: mx.array | None = None, eps: float = 1e-5) -> mx.array:
    """Return weight · x / sqrt(mean(x²) + eps) over the last axis.

    Shapes: x [..., D], weight [D] -> [..., D]. Source: Zhang & Sennrich 2019, eq. 4.
    """
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
    # On a CPU a float32 sum over 24,000 steps is wrong by 5e-6, which shifts every step; PyTorch sums in float64 too.
    wide = x.astype(mx.float64) if on_cpu() else x
    mean = mx.mean(wide, axis=-2, keepdims=True)
    scale = mx.rsqrt(mx.mean(mx.square(wide - mean), axis=-2, keepdims=True) + eps).astype(x.dtype)
    y = (x - mean.astype(x.dtype)) * (scale if weight is None else weight * scale)
    return y if bias is None else y + bias


def instance_norm_snake(x: mx.array, eps: float, weight: mx.array, bias: mx.array, alpha: mx.array) -> mx.array:
    """Return snake(instance_norm(x), alpha), which the kernel computes in one pass.

    Shapes: x [B, L, D], weight and bias [D] or [B, 1, D], alpha [D] -> [B, L, D]. Source: as both.
    """
    return snake(instance_norm(x, eps, weight, bias), alpha)


def instance_norm_leaky_relu(
    x: mx.array, eps: float, weight: mx.array, bias: mx.array, negative_slope: float
) -> mx.array:
    """Return leaky_relu(instance_norm(x)), which the kernel computes in one pass.

    Shapes: x [B, L, D], weight and bias [D] or [B, 1, D] -> [B, L, D]. Source: as both.
    """
    return leaky_relu(instance_norm(x, eps, weight, bias), negative_slope)


def linear(
    x: mx.array,
    weight: mx.array,
    bias: mx.array | None = None,
    *,
    slope: float | None = None,
    floor: float = -math.inf,
) -> mx.array:
    """Return x Wᵀ + bias.

    slope: of a leaky ReLU that follows, 0 for ReLU; floor: the least that it returns.
    Shapes: x [..., D_in], weight [D_out, D_in], bias [D_out] -> [..., D_out].
    """
    return _activate(x @ weight.T if bias is None else mx.addmm(bias, x, weight.T), slope, floor)


def quantized_matmul(
    x: mx.array,
    w: mx.array,
    scales: mx.array,
    biases: mx.array | None = None,
    transpose: bool = True,
    group_size: int | None = None,
    bits: int | None = None,
    mode: str = "affine",
    *,
    bias: mx.array | None = None,
    x_bits: int | None = None,
) -> mx.array:
    """Return x Wᵀ + bias, where W is quantized by mx.quantize: W = scales · w + biases in each group of `group_size`.

    x_bits: 8 first rounds x, as `rounded` does, for faster products.
    Shapes: x [..., D_in], w [D_out, D_in · bits / 32] uint32, scales and biases [D_out, D_in / group_size], bias
    [D_out] -> [..., D_out].
    """
    x = x if x_bits is None else rounded(x, group_size or 64)
    y = _quantized_matmul(x, w, scales, biases, transpose, group_size, bits, mode)
    return y if bias is None else y + bias


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
    slope: float | None = None,
    floor: float = -math.inf,
) -> mx.array:
    """Convolve over time: y[t] = bias + Σ_k weight[:, k] · x[t · stride + k · dilation - left] + add[t].

    padding: zeros on both sides, or (left, right). slope, floor: of a leaky ReLU that follows, as in `linear`.
    Shapes: x [B, L, D_in], weight [D_out, K, D_in / groups], bias [D_out], add [B, L_out, D_out] -> [B, L_out, D_out],
    with L_out = (L + left + right - dilation · (K - 1) - 1) // stride + 1.
    Raises: ValueError if the shapes do not fit.
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
    return _activate(y if add is None else y + add, slope, floor)


def _shifted_conv1d(x, weight, *, stride, padding, dilation, groups):
    """Compute conv1d as one product per tap, of x shifted by the tap: MLX's CPU loop is naive if dilated or grouped.

    Shapes: as conv1d, but padding is (left, right).
    """
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
    """Transpose a strided convolution: x[t] adds weight[:, k] · x[t] to y[t · stride + k - padding].

    Shapes: x [B, L, D_in], weight [D_out, K, D_in / groups], bias [D_out] -> [B, L_out, D_out],
    with L_out = (L - 1) · stride - 2 · padding + K + output_padding.
    Raises: ValueError if there is no output.
    Source: Dumoulin & Visin 2016, section 4.
    """
    if on_cpu():
        y = _phased_conv_transpose1d(
            x, weight, stride=stride, padding=padding, output_padding=output_padding, groups=groups
        )
    else:
        y = _conv_transpose1d(x, weight, stride=stride, padding=padding, output_padding=output_padding, groups=groups)
    return y if bias is None else y + bias


def _phased_conv_transpose1d(x, weight, *, stride, padding, output_padding, groups):
    """Compute conv_transpose1d as a convolution whose columns are the `stride` phases of a step: no inserted zeros.

    Output q = stride·i + k, before `padding` is cut off. With q = stride·u + r and k = stride·j + r,
    y[stride·u + r] = Σ_j x[u - j] · w[stride·j + r]; where stride does not divide K, the last phases have a tap less.
    Shapes: as conv_transpose1d.
    """
    B, L, _ = x.shape
    D_out, K, per_group = weight.shape
    taps = -(-K // stride)
    L_out = (L - 1) * stride - 2 * padding + K + output_padding
    if L_out < 1:
        raise ValueError(f"conv_transpose1d of {x.shape} with weight {weight.shape}, padding {padding} has no result")
    kernel = mx.pad(weight, [(0, 0), (0, taps * stride - K), (0, 0)]).reshape(D_out, taps, stride, per_group)

    def phases(first: int, last: int, n_taps: int) -> mx.array:  # -> [B, U, D_out, last - first]
        if not n_taps:
            return mx.zeros((B, L + taps - 1, D_out, last - first), x.dtype)
        w = kernel[:, :n_taps, first:last][:, ::-1].swapaxes(1, 2)  # taps reversed: a convolution correlates
        w = w.reshape(-1, n_taps, per_group)
        y = _shifted_conv1d(x, w, stride=1, padding=(n_taps - 1, taps - 1), dilation=1, groups=groups)
        return y.reshape(B, -1, D_out, last - first)

    n_full = K - (taps - 1) * stride  # phases with all taps
    parts = [phases(0, n_full, taps)] + ([phases(n_full, stride, taps - 1)] if n_full < stride else [])
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
    slope: float | None = None,
    floor: float = -math.inf,
) -> mx.array:
    """Convolve over height and width; pairs are (height, width).

    slope, floor: of a leaky ReLU that follows, as in `linear`.
    Shapes: x [B, H, W, C_in], weight [C_out, KH, KW, C_in / groups], bias [C_out] -> [B, H_out, W_out, C_out],
    with H_out = (H + 2 · padding - dilation · (KH - 1) - 1) // stride + 1, and W_out alike.
    """
    y = _conv2d(x, weight, stride=stride, padding=padding, dilation=dilation, groups=groups)
    return _activate(y if bias is None else y + bias, slope, floor)


def lstm(gates: mx.array, weight: mx.array) -> mx.array:
    """Run N independent LSTM recurrences from a zero state, such as the two directions of a bidirectional LSTM.

    Shapes: gates [N, B, L, 4D] (x Wx + bias, in the order i, f, g, o), weight [N, 4D, D] -> h [N, B, L, D].
    Source: Hochreiter & Schmidhuber 1997; torch.nn.LSTM's equations.
    """
    zero = mx.zeros((*gates.shape[:2], weight.shape[-1]), gates.dtype)
    return lstm_steps(gates, weight, zero, zero)[0]


def lstm_steps(gates: mx.array, weight: mx.array, hidden: mx.array, cell: mx.array) -> tuple[mx.array, mx.array]:
    """Run `lstm` from a given state, for streams. The state after it is h[..., -1, :] and the returned cell.

    Shapes: gates [N, B, L, 4D], weight [N, 4D, D], hidden and cell [N, B, D] -> h [N, B, L, D], cell [N, B, D];
    all of them without N for one recurrence.
    Source: as `lstm`.
    """
    recurrent, outputs = weight.swapaxes(-1, -2), []
    for step in range(gates.shape[-2]):
        i, f, g, o = mx.split(gates[..., step, :] + hidden @ recurrent, 4, axis=-1)
        cell = _sigmoid(f) * cell + _sigmoid(i) * _tanh(g)
        hidden = _sigmoid(o) * _tanh(cell)
        outputs.append(hidden)
    return mx.stack(outputs, axis=-2), cell
