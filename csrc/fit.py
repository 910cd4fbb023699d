"""Print the minimax polynomials of src/simd/math.h and src/simd/sin.h (but for sin_squared). Needs mpmath and numpy.

python fit.py
"""

import mpmath as mp
import numpy as np

mp.mp.dps = 30


def fit(function, start, end, degree, weight, points=1000, rounds=400):
    """Fit the polynomial whose greatest |weight(x, y) · error| on [start, end] is least, by Lawson's reweighting."""
    x = (start + end) / 2 + (end - start) / 2 * np.cos(np.pi * (np.arange(points) + 0.5) / points)
    y = np.array([float(function(mp.mpf(float(v)))) for v in x])
    w, powers, share = weight(x, y), np.vander(x, degree + 1, increasing=True), np.full(points, 1 / points)
    for _ in range(rounds):
        root = np.sqrt(share) * w
        c = np.linalg.lstsq(powers * root[:, None], y * root, rcond=None)[0]
        error = np.abs((powers @ c - y) * w)
        share *= error / (share @ error)
    return c, error.max()


def of_square(function):
    """Return f(x) / x as a function of s = x²."""
    return lambda s: function(mp.sqrt(s)) / mp.sqrt(s)


def scaled_tail(t):
    return mp.exp(t * t / 2) * mp.erfc(t / mp.sqrt(2)) / 2


def tail_weight(u, y):
    """Weigh an error by what it adds to t Φ(-t), or by 1e-4 of the relative error where that is more."""
    t = 4 / u - 4
    return np.maximum(t * np.exp(-t * t / 2) * u, 1e-4 / y)


half_ln2, quarter_pi = float(mp.log(2) / 2) * 1.0001, float(mp.pi / 4) * 1.001
FITS = {
    "e^r = 1 + r + r² p(r)": (lambda r: (mp.e**r - 1 - r) / r**2, -half_ln2, half_ln2, 4, lambda x, y: x * x),
    "erf x = x + x p(x²), |x| < 1": (lambda s: of_square(mp.erf)(s) - 1, 1e-9, 1.0, 6, lambda x, y: 1 / (1 + y)),
    "erf x = 1 - exp(-p(x)), 1 < x < 4": (lambda t: -mp.log(mp.erfc(t)), 1.0, 4.0, 6, lambda x, y: np.exp(-y)),
    "2^f, |f| < 1/2": (lambda f: mp.mpf(2) ** f, -0.5, 0.5, 5, lambda x, y: 1 / y),
    "exp(t²/2) Φ(-t) = u p(u), u = 1 / (1 + t / 4)":
        (lambda u: scaled_tail(4 / u - 4) / u, 1 / 4.625, 1.0, 6, tail_weight),
    "tanh x = x + x s p(s), s = x², |x| < 1": (lambda s: (of_square(mp.tanh)(s) - 1) / s, 1e-9, 1.0, 6, lambda x, y: x),
    "sin r = r + r s p(s), s = r², |r| < pi / 4":
        (lambda s: (of_square(mp.sin)(s) - 1) / s, 1e-9, quarter_pi**2, 2, lambda x, y: x),
    "cos r = 1 - s / 2 + s² p(s)":
        (lambda s: (mp.cos(mp.sqrt(s)) - 1 + s / 2) / s**2, 1e-6, quarter_pi**2, 2, lambda x, y: x * x),
}  # fmt: skip

if __name__ == "__main__":
    for name, (function, start, end, degree, weight) in FITS.items():
        coefficients, error = fit(function, start, end, degree, weight)
        print(f"{name}    greatest error {error:.1e}")
        for c in coefficients[::-1]:
            print(f"  {np.float32(c)!s}f")
