"""Orthogonal polynomials of any degree, by their three-term recurrences."""

import mlx.core as mx


def orthogonal(kind: str, x, degree) -> mx.array:
    """P_n(x) for an array of degrees n; 0 for a negative degree. Source: Abramowitz & Stegun, table 22.7."""
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
    before, now = mx.ones_like(x), first
    largest = int(mx.max(degree).item()) if degree.size else 0
    for n in range(1, largest):
        if kind in "tuvw":
            after = 2 * x * now - before
        elif kind == "h":
            after = 2 * x * now - 2 * n * before
        elif kind == "he":
            after = x * now - n * before
        elif kind == "l":
            after = ((2 * n + 1 - x) * now - n * before) / (n + 1)
        else:
            after = ((2 * n + 1) * x * now - n * before) / (n + 1)
        before, now = now, after
        result = mx.where(degree == n + 1, now, result)
    return result
