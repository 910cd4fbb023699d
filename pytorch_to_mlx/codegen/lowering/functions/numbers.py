"""Element-wise functions that torch has and MLX lacks, in float32 unless they say otherwise."""

import mlx.core as mx


def complex_sign(x: mx.array) -> mx.array:
    """Return x / |x|, and 0 where x is 0. Shapes: x [...] -> [...]."""
    size = mx.abs(x)
    return mx.where(size == 0, 0, x / mx.where(size == 0, 1, size))


def complex_power(x, exponent) -> mx.array:
    """Return x ** exponent on the principal branch, with 0 ** 0 = 1 and 0 ** (anything else) = 0.

    Shapes: x and exponent [...] -> [...], broadcast.
    """
    x, exponent = mx.array(x).astype(mx.complex64), mx.array(exponent).astype(mx.complex64)
    zero = mx.abs(x) == 0
    value = mx.exp(exponent * mx.log(mx.where(zero, 1, x)))
    return mx.where(zero, mx.where(mx.abs(exponent) == 0, 1, 0), value)


def divide_to_zero(x, y) -> mx.array:
    """Divide integers, rounding toward zero. Shapes: x and y [...] -> [...], broadcast."""
    quotient = mx.abs(x) // mx.abs(y)
    return mx.where((x < 0) != (y < 0), -quotient, quotient)


def fmod(x, y) -> mx.array:
    """Return the remainder of division toward zero: it has the sign of x.

    Shapes: x and y [...] -> [...], broadcast.
    """
    x, y = mx.array(x), mx.array(y)
    if not mx.issubdtype(x.dtype, mx.signedinteger) and not mx.issubdtype(x.dtype, mx.floating):
        return mx.remainder(x, y)
    rest = mx.remainder(mx.abs(x), mx.abs(y))
    return mx.where(x < 0, -rest, rest)


def floor_divide(x, y) -> mx.array:
    """Return floor(x / y) of floats, exact where x / y rounds up to a whole number; NaN for an infinite x.

    Shapes: x and y [...] -> [...], broadcast.
    Source: div_floor_floating in c10/util/generic_math.h of PyTorch.
    """
    x, y = mx.array(x), mx.array(y)
    rest = fmod(x, y)
    quotient = (x - rest) / y - ((rest != 0) & ((y < 0) != (rest < 0)))
    return mx.where(y == 0, x / y, mx.round(quotient))


def fmax(x: mx.array, y: mx.array) -> mx.array:
    """Return the larger value; a number wins against NaN. Shapes: x and y [...] -> [...], broadcast."""
    return mx.where(mx.isnan(x), y, mx.where(mx.isnan(y), x, mx.maximum(x, y)))


def fmin(x: mx.array, y: mx.array) -> mx.array:
    """Return the smaller value; a number wins against NaN. Shapes: x and y [...] -> [...], broadcast."""
    return mx.where(mx.isnan(x), y, mx.where(mx.isnan(y), x, mx.minimum(x, y)))


def signbit(x: mx.array) -> mx.array:
    """Return whether the sign bit of a float is set, also of -0. Shapes: x [...] -> [...] bool."""
    if x.dtype == mx.float32:
        return x.view(mx.int32) < 0
    if x.dtype in (mx.float16, mx.bfloat16):
        return x.view(mx.int16) < 0
    return (x < 0) | ((x == 0) & (1 / x < 0))


def copysign(x: mx.array, y: mx.array) -> mx.array:
    """Return |x| with the sign of y. Shapes: x and y [...] -> [...], broadcast."""
    size = mx.abs(x)
    return mx.where(signbit(y), -size, size)


def hypot(x: mx.array, y: mx.array) -> mx.array:
    """Return sqrt(x² + y²) without overflow. Shapes: x and y [...] -> [...], broadcast."""
    x, y = mx.abs(x), mx.abs(y)
    large, small = mx.maximum(x, y), mx.minimum(x, y)
    ratio = small / mx.where(large == 0, 1, large)
    infinite = mx.isinf(x) | mx.isinf(y)  # beside NaN too
    return mx.where(infinite, mx.inf, large * mx.sqrt(1 + ratio * ratio))


def heaviside(x: mx.array, values: mx.array) -> mx.array:
    """Return 0 for x < 0, values for x = 0, 1 for x > 0. Shapes: x and values [...] -> [...], broadcast."""
    return mx.where(x == 0, values, (x > 0).astype(x.dtype))


def frexp(x: mx.array) -> list[mx.array]:
    """Split float32 into a mantissa in [0.5, 1) and an exponent (int32): x = mantissa · 2^exponent.

    Shapes: x [...] -> two of [...].
    """
    normal = mx.where(mx.abs(x) < 1.1754944e-38, x * 2.0**64, x)
    bits = normal.view(mx.int32)
    exponent = ((bits >> 23) & 0xFF) - 126 - mx.where(mx.abs(x) < 1.1754944e-38, 64, 0)
    mantissa = ((bits & mx.array(-2139095041, mx.int32)) | (126 << 23)).view(mx.float32)
    plain = (x == 0) | mx.isnan(x) | mx.isinf(x)
    return [mx.where(plain, x, mantissa), mx.where(plain, 0, exponent).astype(mx.int32)]


def nextafter(x: mx.array, y: mx.array) -> mx.array:
    """Return the float32 next to x in the direction of y. Shapes: x and y [...] -> [...], broadcast."""
    x, y = mx.broadcast_arrays(x, y)
    bits = x.view(mx.int32)
    away = (y > x) == (x > 0)
    tiny = mx.where(y > 0, 1, -2147483647).astype(mx.int32).view(mx.float32)
    step = (bits + mx.where(away, 1, -1)).astype(mx.int32).view(mx.float32)
    moved = mx.where(x == 0, tiny, step)
    return mx.where(mx.isnan(x) | mx.isnan(y), mx.nan, mx.where(x == y, y, moved))


def polar(size: mx.array, angle: mx.array) -> mx.array:
    """Return size · exp(i · angle). Shapes: size and angle [...] -> [...] complex, broadcast."""
    return size * mx.cos(angle) + 1j * (size * mx.sin(angle))


def view_as_real(x: mx.array) -> mx.array:
    """Put real and imaginary part on a new last axis. Shapes: x [...] complex -> [..., 2]."""
    return mx.stack([mx.real(x), mx.imag(x)], axis=-1)


def view_as_complex(x: mx.array) -> mx.array:
    """Read the last axis as real and imaginary part. Shapes: x [..., 2] -> [...] complex."""
    return x[..., 0] + 1j * x[..., 1]


def xor_bits(x: mx.array, axes: list[int], keepdims: bool) -> mx.array:
    """Combine the bits of the elements, widened to 64, along axes by exclusive or.

    Shapes: x [...] -> uint64 without the axes, or with length 1 for keepdims.
    """
    wide = mx.float64 if mx.issubdtype(x.dtype, mx.floating) else mx.int64
    bits = x.astype(wide, stream=mx.cpu).view(mx.uint64, stream=mx.cpu) if x.ndim else xor_bits(x[None], [], False)[0]
    for axis in axes:
        while bits.shape[axis] > 1:
            half = bits.shape[axis] // 2
            left, right, odd = mx.split(bits, [half, 2 * half], axis=axis)
            bits = mx.concatenate([left ^ right, odd], axis=axis)
    return bits if keepdims or not axes else bits.squeeze(tuple(axes))


def cumsum(x: mx.array, axis: int) -> mx.array:
    """Return running sums, added up in float64 on the processor as torch does: phases of oscillators need it.

    Shapes: x [...] float -> [...].
    """
    return mx.cumsum(x.astype(mx.float64, stream=mx.cpu), axis=axis, stream=mx.cpu).astype(x.dtype, stream=mx.cpu)


def cumprod(x: mx.array, axis: int) -> mx.array:
    """Return running products, multiplied in float64 on the processor as torch does.

    Shapes: x [...] float -> [...].
    """
    return mx.cumprod(x.astype(mx.float64, stream=mx.cpu), axis=axis, stream=mx.cpu).astype(x.dtype, stream=mx.cpu)
