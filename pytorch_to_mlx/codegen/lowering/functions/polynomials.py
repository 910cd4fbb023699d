"""Orthogonal polynomials of any degree, by their three-term recurrences."""

# MLX's types let item and tolist return any scalar, complex ones too. The rules are off for the whole file,
# because a comment on a line would be copied into generated source with it.
# pyright: reportArgumentType=false

import mlx.core as mx


def orthogonal(kind: str, x, degree) -> mx.array:
    """Return the polynomial Pₙ(x) for an array of degrees n; 0 for a negative degree.

    Shapes: x and degree [...] -> [...], broadcast.
    kind: Chebyshev t, u, v, w (or shifted_chebyshev_polynomial_t, …), Hermite h, he, Laguerre l, Legendre p.
    Source: Abramowitz & Stegun, table 22.7.
    """
    x, degree = mx.broadcast_arrays(mx.array(x), mx.array(degree))
    degree = mx.trunc(degree)
    if kind.startswith("shifted"):
        x, kind = 2 * x - 1, kind.removeprefix("shifted_chebyshev_polynomial_")
    first = {
        "t": x,
        "u": 2 * x,
        "v": 2 * x - 1,
        "w": 2 * x + 1,
        "h": 2 * x,
        "he": x,
        "l": 1 - x,
        "p": x,
    }[kind]
    result = mx.where(degree == 0, 1.0, mx.where(degree == 1, first, 0.0))
    previous, current = mx.ones_like(x), first
    largest = int(mx.max(degree).item()) if degree.size else 0
    for n in range(1, largest):
        if kind in "tuvw":
            following = 2 * x * current - previous
        elif kind == "h":
            following = 2 * x * current - 2 * n * previous
        elif kind == "he":
            following = x * current - n * previous
        elif kind == "l":
            following = ((2 * n + 1 - x) * current - n * previous) / (n + 1)
        else:
            following = ((2 * n + 1) * x * current - n * previous) / (n + 1)
        previous, current = current, following
        result = mx.where(degree == n + 1, current, result)
    return result
