"""Special functions in float32: series where they converge fast, fitted Chebyshev sums elsewhere.

Sources: Abramowitz & Stegun, chapters 6, 9, 10 and 23; Moshier's Cephes for the split into ranges.
"""

import math

import mlx.core as mx

from .tables import (
    AIRY_MIDDLE,
    AIRY_P,
    AIRY_Q,
    AIRY_RIGHT,
    ERFCX,
    I0_LARGE,
    I0_SMALL,
    I1_LARGE,
    I1_SMALL,
    J0_SMALL,
    J1_SMALL,
    K0_LARGE,
    K0_SMALL,
    K1_LARGE,
    K1_SMALL,
    P0,
    P1,
    Q0,
    Q1,
    Y0_SMALL,
    Y1_SMALL,
)


def chebyshev(x: mx.array, table: tuple, low: float, high: float) -> mx.array:
    """Evaluate a Chebyshev sum on low … high by Clenshaw's recurrence; x outside counts as the nearer end.

    Shapes: x [...] -> [...].
    """
    t = (2 * mx.clip(x, low, high) - (low + high)) / (high - low)
    first, second = mx.zeros_like(t), mx.zeros_like(t)
    for coefficient in table[:0:-1]:
        first, second = 2 * t * first - second + coefficient, first
    return t * first - second + table[0]


def erfcx(x: mx.array) -> mx.array:
    """Return exp(x²) erfc(x). Shapes: x [...] -> [...]."""
    t = 2 / (2 + mx.abs(x))
    right = t * chebyshev(t, ERFCX, 0, 1)
    return mx.where(x < 0, 2 * mx.exp(x * x) - right, right)


def erfc(x: mx.array) -> mx.array:
    """Return 1 - erf(x) without cancellation for large x. Shapes: x [...] -> [...]."""
    a = mx.maximum(x, 0.5)
    return mx.where(x < 0.5, 1 - mx.erf(x), mx.exp(-a * a) * erfcx(a))


def log_ndtr(x: mx.array) -> mx.array:
    """Return the log of the normal distribution function. Shapes: x [...] -> [...]."""
    t = x * math.sqrt(0.5)
    left = mx.log(erfcx(-mx.minimum(t, -0.5)) / 2) - t * t
    return mx.where(x < -1, left, mx.log1p(-erfc(mx.maximum(t, -1)) / 2))


def ndtri(p: mx.array) -> mx.array:
    """Return the quantile of the normal distribution.

    Shapes: p [...] -> [...]. Source: P. J. Acklam's fit, one Halley step on top.
    """
    a = (
        -39.69683028665376,
        220.9460984245205,
        -275.9285104469687,
        138.3577518672690,
        -30.66479806614716,
        2.506628277459239,
    )
    b = (-54.47609879822406, 161.5858368580409, -155.6989798598866, 66.80131188771972, -13.28068155288572, 1.0)
    c = (
        -0.007784894002430293,
        -0.3223964580411365,
        -2.400758277161838,
        -2.549732539343734,
        4.374664141464968,
        2.938163982698783,
    )
    d = (0.007784695709041462, 0.3224671290700398, 2.445134137142996, 3.754408661907416, 1.0)

    def poly(x: mx.array, table: tuple) -> mx.array:
        total = mx.zeros_like(x)
        for coefficient in table:
            total = total * x + coefficient
        return total

    low = mx.minimum(p, 1 - p)
    q = mx.sqrt(-2 * mx.log(mx.maximum(low, 1e-38)))
    tail = poly(q, c) / poly(q, d)
    r = p - 0.5
    middle = r * poly(r * r, a) / poly(r * r, b)
    x = mx.where(low < 0.02425, mx.where(p < 0.5, tail, -tail), middle)
    # the step works on the smaller tail, where the probability has all its digits
    side = -mx.abs(x)
    excess = (erfc(-side * math.sqrt(0.5)) / 2 - low) * math.sqrt(2 * math.pi) * mx.exp(side * side / 2)
    side = side - excess / (1 + side * excess / 2)
    x = mx.where(p < 0.5, side, -side)
    x = mx.where(p == 0, -mx.inf, mx.where(p == 1, mx.inf, x))
    return mx.where((p < 0) | (p > 1) | mx.isnan(p), mx.nan, x)


def lgamma(x: mx.array) -> mx.array:
    """Return log |Γ(x)|: Stirling's series above 8, the recurrence below, reflection for negative x.

    Shapes: x [...] -> [...].
    """
    positive = mx.where(x < 0.5, 1 - x, x)
    shifted, product = positive, mx.ones_like(positive)
    for _ in range(8):
        small = shifted < 8
        product = mx.where(small, product * shifted, product)
        shifted = mx.where(small, shifted + 1, shifted)
    inverse = 1 / shifted
    series = inverse * (1 / 12 - inverse * inverse * (1 / 360 - inverse * inverse / 1260))
    value = (shifted - 0.5) * mx.log(shifted) - shifted + 0.5 * math.log(2 * math.pi) + series - mx.log(product)
    value = mx.where(mx.isinf(positive), mx.inf, value)
    fraction = x - mx.floor(x)
    reflected = math.log(math.pi) - mx.log(mx.abs(mx.sin(math.pi * fraction))) - value
    value = mx.where(x < 0.5, reflected, value)
    return mx.where((x <= 0) & (x == mx.floor(x)) | mx.isinf(x), mx.inf, mx.where(mx.isnan(x), mx.nan, value))


def digamma(x: mx.array) -> mx.array:
    """Return the derivative of log Γ: asymptotic series above 8, recurrence below, reflection for negative x.

    Shapes: x [...] -> [...].
    """
    positive = mx.where(x < 0.5, 1 - x, x)
    shifted, total = positive, mx.zeros_like(positive)
    for _ in range(8):
        small = shifted < 8
        total = mx.where(small, total + 1 / shifted, total)
        shifted = mx.where(small, shifted + 1, shifted)
    square = 1 / (shifted * shifted)
    series = (
        mx.log(shifted) - 0.5 / shifted - square * (1 / 12 - square * (1 / 120 - square * (1 / 252 - square / 240)))
    )
    value = series - total
    fraction = x - mx.floor(x)
    value = mx.where(x < 0.5, value - math.pi / mx.tan(math.pi * fraction), value)
    value = mx.where((x < 0) & (fraction == 0), mx.nan, value)
    return mx.where(x == 0, mx.where(1 / x < 0, mx.inf, -mx.inf), mx.where(x == mx.inf, mx.inf, value))


def zeta(s, q) -> mx.array:
    """Return the Hurwitz zeta function Σ (q + k)^-s, by Euler-Maclaurin after 20 terms.

    Shapes: s and q [...] -> [...], broadcast.
    """
    s, q = mx.broadcast_arrays(mx.array(s), mx.array(q))
    whole = s == mx.floor(s)

    def power(base: mx.array, exponent: mx.array) -> mx.array:  # of negative bases too, for whole exponents
        sign = mx.where((base < 0) & (mx.remainder(exponent, 2) == 1), -1.0, 1.0)
        return sign * mx.power(mx.abs(base), exponent)

    terms = [power(q + k, -s) for k in range(20)]
    total = sum(reversed(terms[:-1]), terms[-1])
    a = q + 20
    tail = a * power(a, -s) / (s - 1) + 0.5 * power(a, -s)
    factor, base = s, power(a, -s) / a
    for index, bernoulli in enumerate((12, -720, 30240, -1209600)):
        tail = tail + factor * base / bernoulli
        factor = factor * (s + 2 * index + 1) * (s + 2 * index + 2)
        base = base / (a * a)
    value = total + tail
    value = mx.where(q <= 0, mx.where(q == mx.floor(q), mx.inf, mx.where(whole, value, mx.nan)), value)
    return mx.where(s < 1, mx.nan, mx.where(s == 1, mx.inf, value))


def polygamma(order: int, x: mx.array) -> mx.array:
    """Return the order-th derivative of digamma. Shapes: x [...] -> [...]."""
    if order == 0:
        return digamma(x)
    if order == 1:
        return trigamma(x)
    return (-1.0) ** (order + 1) * math.factorial(order) * zeta(float(order + 1), x)


def trigamma(x: mx.array) -> mx.array:
    """Return the second derivative of log Γ, with reflection for x < 0.5. Shapes: x [...] -> [...]."""
    value = zeta(2.0, mx.where(x < 0.5, 1 - x, x))
    sine = mx.sin(math.pi * (x - mx.floor(x)))
    return mx.where(x < 0.5, (math.pi / sine) ** 2 - value, value)


def igamma(a: mx.array, x: mx.array, upper: bool = False) -> mx.array:
    """Return the regularised lower (or upper) incomplete gamma function, by a series or a continued fraction.

    Shapes: a and x [...] -> [...], broadcast. The series serves x < a + 1.
    """
    a, x = mx.broadcast_arrays(a, x)
    safe_a, safe_x = mx.where(a > 0, a, 1), mx.where(x > 0, x, 1)
    scale = mx.exp(safe_a * mx.log(safe_x) - safe_x - lgamma(safe_a))
    term = total = 1 / safe_a
    small_x = mx.minimum(safe_x, safe_a + 1)
    for k in range(1, 120):
        term = term * small_x / (safe_a + k)
        total = total + term
    large_x = mx.maximum(safe_x, safe_a + 1)
    fraction = mx.zeros_like(safe_x)
    for k in range(120, 0, -1):
        fraction = -k * (k - safe_a) / (large_x + 2 * k + 1 - safe_a + fraction)
    lower = scale * total
    above = scale / (large_x + 1 - safe_a + fraction)
    value = mx.where(safe_x < safe_a + 1, 1 - lower if upper else lower, above if upper else 1 - above)
    value = mx.where(x == 0, 1.0 if upper else 0.0, value)
    value = mx.where(mx.isinf(x), 0.0 if upper else 1.0, value)
    value = mx.where((a == 0) & (x > 0), 0.0 if upper else 1.0, value)
    return mx.where((x < 0) | (a < 0) | ((a == 0) & (x == 0)) | mx.isnan(a) | mx.isnan(x), mx.nan, value)


def i0e(x: mx.array) -> mx.array:
    """Return exp(-|x|) I0(x). Shapes: x [...] -> [...]."""
    a = mx.abs(x)
    large = mx.maximum(a, 8)
    return mx.where(a <= 8, chebyshev(a, I0_SMALL, 0, 8), chebyshev(1 / large, I0_LARGE, 0, 1 / 8) * mx.rsqrt(large))


def i0(x: mx.array) -> mx.array:
    """Return the modified Bessel function I0. Shapes: x [...] -> [...]."""
    return mx.exp(mx.abs(x)) * i0e(x)


def i1e(x: mx.array) -> mx.array:
    """Return exp(-|x|) I1(x). Shapes: x [...] -> [...]."""
    a = mx.abs(x)
    large = mx.maximum(a, 8)
    value = mx.where(
        a <= 8, a * chebyshev(a, I1_SMALL, 0, 8), chebyshev(1 / large, I1_LARGE, 0, 1 / 8) * mx.rsqrt(large)
    )
    return mx.where(x < 0, -value, value)


def i1(x: mx.array) -> mx.array:
    """Return the modified Bessel function I1. Shapes: x [...] -> [...]."""
    return mx.exp(mx.abs(x)) * i1e(x)


def bessel_wave(x: mx.array, p: tuple, q: tuple, phase: float) -> list[mx.array]:
    """Return Bessel J and Y for x >= 8 from modulus and phase. Shapes: x [...] -> two of [...]."""
    x = mx.maximum(x, 8)
    u = 64 / (x * x)
    even, odd = chebyshev(u, p, 1e-6, 1), chebyshev(u, q, 1e-6, 1) / x
    sine, cosine, size = mx.sin(x - phase), mx.cos(x - phase), mx.sqrt(2 / (math.pi * x))
    return [size * (even * cosine - odd * sine), size * (even * sine + odd * cosine)]


def bessel_j0(x: mx.array) -> mx.array:
    """Return the Bessel function J0. Shapes: x [...] -> [...]."""
    a = mx.abs(x)
    value = mx.where(a <= 8, chebyshev(a * a, J0_SMALL, 0, 64), bessel_wave(a, P0, Q0, math.pi / 4)[0])
    return mx.where(mx.isinf(a), 0, value)


def bessel_j1(x: mx.array) -> mx.array:
    """Return the Bessel function J1. Shapes: x [...] -> [...]."""
    a = mx.abs(x)
    value = mx.where(a <= 8, a * chebyshev(a * a, J1_SMALL, 0, 64), bessel_wave(a, P1, Q1, 3 * math.pi / 4)[0])
    return mx.where(mx.isinf(a), 0, mx.where(x < 0, -value, value))


def bessel_y0(x: mx.array) -> mx.array:
    """Return the Bessel function Y0; NaN for x < 0. Shapes: x [...] -> [...]."""
    small = chebyshev(x * x, Y0_SMALL, 0, 64) + 2 / math.pi * mx.log(x) * bessel_j0(x)
    value = mx.where(x <= 8, small, bessel_wave(x, P0, Q0, math.pi / 4)[1])
    return mx.where(x < 0, mx.nan, mx.where(x == 0, -mx.inf, mx.where(mx.isinf(x), 0, value)))


def bessel_y1(x: mx.array) -> mx.array:
    """Return the Bessel function Y1; NaN for x < 0. Shapes: x [...] -> [...]."""
    small = x * chebyshev(x * x, Y1_SMALL, 0, 64) + 2 / math.pi * (mx.log(x) * bessel_j1(x) - 1 / x)
    value = mx.where(x <= 8, small, bessel_wave(x, P1, Q1, 3 * math.pi / 4)[1])
    return mx.where(x < 0, mx.nan, mx.where(x == 0, -mx.inf, mx.where(mx.isinf(x), 0, value)))


def scaled_k0(x: mx.array) -> mx.array:
    """Return exp(x) K0(x). Shapes: x [...] -> [...]."""
    small = mx.exp(x) * (chebyshev(x * x, K0_SMALL, 0, 4) - mx.log(x / 2) * i0(mx.minimum(x, 2)))
    large = chebyshev(1 / mx.maximum(x, 2), K0_LARGE, 0, 1 / 2) * mx.rsqrt(mx.maximum(x, 2))
    return mx.where(x < 0, mx.nan, mx.where(x == 0, mx.inf, mx.where(x <= 2, small, large)))


def scaled_k1(x: mx.array) -> mx.array:
    """Return exp(x) K1(x). Shapes: x [...] -> [...]."""
    small = mx.exp(x) * (x * chebyshev(x * x, K1_SMALL, 0, 4) + 1 / x + mx.log(x / 2) * i1(mx.minimum(x, 2)))
    large = chebyshev(1 / mx.maximum(x, 2), K1_LARGE, 0, 1 / 2) * mx.rsqrt(mx.maximum(x, 2))
    return mx.where(x < 0, mx.nan, mx.where(x == 0, mx.inf, mx.where(x <= 2, small, large)))


def bessel_k0(x: mx.array) -> mx.array:
    """Return the modified Bessel function K0. Shapes: x [...] -> [...]."""
    return mx.exp(-x) * scaled_k0(x)


def bessel_k1(x: mx.array) -> mx.array:
    """Return the modified Bessel function K1. Shapes: x [...] -> [...]."""
    return mx.exp(-x) * scaled_k1(x)


def spherical_bessel_j0(x: mx.array) -> mx.array:
    """Return the spherical Bessel function sin(x) / x. Shapes: x [...] -> [...]."""
    return mx.where(x == 0, 1, mx.where(mx.isinf(x), 0, mx.sin(x) / mx.where(x == 0, 1, x)))


def airy_ai(x: mx.array) -> mx.array:
    """Return the Airy function Ai. Shapes: x [...] -> [...]."""
    size = mx.maximum(mx.abs(x), 3)
    root = mx.sqrt(mx.sqrt(size)) * math.sqrt(math.pi)
    z = 2 / 3 * size * mx.sqrt(size)
    limit = 1 / (2 / 3 * 3**1.5)
    right = mx.exp(-z) * chebyshev(1 / z, AIRY_RIGHT, 0, limit) / (2 * root)
    angle = z - math.pi / 4
    even, odd = chebyshev(1 / (z * z), AIRY_P, 1e-6, limit**2), chebyshev(1 / (z * z), AIRY_Q, 1e-6, limit**2) / z
    left = (even * mx.cos(angle) + odd * mx.sin(angle)) / root
    return mx.where(x > 3, right, mx.where(x < -3, left, chebyshev(x, AIRY_MIDDLE, -3, 3)))
