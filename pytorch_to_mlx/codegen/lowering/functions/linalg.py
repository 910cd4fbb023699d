"""Linear algebra in torch's forms. MLX computes decompositions on the CPU."""

import math

import mlx.core as mx


def swap(x: mx.array) -> mx.array:
    return x.swapaxes(-1, -2)


def lu_packed(a: mx.array, pivot: bool = True) -> list[mx.array]:
    """L and U in one matrix, and the rows swapped at each step, counted from 1 (int32); column by column."""
    *lead, rows, columns = a.shape
    if not a.size:
        return [a, mx.zeros([*lead, min(rows, columns)], dtype=mx.int32)]
    a = a.reshape([-1, rows, columns])
    pivots = []
    index = mx.arange(rows)
    for k in range(min(rows, columns)):
        size = mx.where(index >= k, mx.abs(a[:, :, k]), -1.0)
        best = mx.argmax(size, axis=1) if pivot else mx.full([a.shape[0]], k, dtype=mx.uint32)
        pivots.append(best.astype(mx.int32) + 1)
        order = mx.broadcast_to(index, [a.shape[0], rows])
        order = mx.where(order == k, best[:, None], mx.where(order == best[:, None], k, order))
        a = mx.take_along_axis(a, order[:, :, None], axis=1)
        head = a[:, k : k + 1, k : k + 1]
        below = index[None, :, None] > k
        factor = mx.where(below & (head != 0), a[:, :, k : k + 1] / mx.where(head == 0, 1, head), 0)
        right = (mx.arange(columns) > k)[None, None, :]
        a = mx.where(right, a - factor * a[:, k : k + 1, :], a)
        stored = mx.where(head != 0, factor, a[:, :, k : k + 1])
        a = mx.where(below & (mx.arange(columns) == k)[None, None, :], stored, a)
    steps = mx.stack(pivots, axis=-1) if pivots else mx.zeros([a.shape[0], 0], dtype=mx.int32)
    return [a.reshape([*lead, rows, columns]), steps.reshape([*lead, -1] if pivots else [*lead, 0])]


def pivot_order(pivots: mx.array, rows: int) -> mx.array:
    """The row order that the swaps make. Shapes: pivots [..., K] -> [..., rows] int64."""
    *lead, steps = pivots.shape
    flat = pivots.reshape([math.prod(lead), steps])
    order = mx.broadcast_to(mx.arange(rows), [flat.shape[0], rows])
    for k in range(steps):
        other = flat[:, k : k + 1] - 1
        left, right = order[:, k : k + 1], mx.take_along_axis(order, other, axis=1)
        order = mx.where(mx.arange(rows) == k, right, mx.where(mx.arange(rows) == other, left, order))
    return order.reshape([*lead, rows]).astype(mx.int64)


def lu_unpack(packed: mx.array, pivots: mx.array) -> list[mx.array]:
    """P, L and U with P L U equal to the matrix that was factored."""
    rows, columns = packed.shape[-2:]
    size = min(rows, columns)
    lower = mx.tril(packed[..., :, :size], -1) + mx.eye(rows, size)
    upper = mx.triu(packed[..., :size, :])
    order = pivot_order(pivots, rows)
    return [swap((order[..., :, None] == mx.arange(rows)).astype(packed.dtype)), lower, upper]


def triangular_solve(a: mx.array, b: mx.array, upper: bool, left: bool = True, unit: bool = False) -> mx.array:
    """X with a X = b (or X a = b), by substitution row by row."""
    if not left:
        return swap(triangular_solve(swap(a), swap(b), not upper, True, unit))
    lead = mx.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    size = a.shape[-1]
    a = mx.broadcast_to(a, [*lead, size, size])
    b = mx.broadcast_to(b, [*lead, size, b.shape[-1]])
    rows: dict[int, mx.array] = {}
    for i in range(size - 1, -1, -1) if upper else range(size):
        total = b[..., i, :]
        for j, done in rows.items():
            total = total - a[..., i, j : j + 1] * done
        rows[i] = total if unit else total / a[..., i, i : i + 1]
    return mx.stack([rows[i] for i in range(size)], axis=-2) if size else b


def lu_solve(packed: mx.array, pivots: mx.array, b: mx.array, left: bool = True, adjoint: bool = False) -> mx.array:
    """X with A X = b, from the packed factors of A; or X A = b; or with the adjoint of A."""
    if not left:
        return swap(lu_solve(packed, pivots, swap(b), True, not adjoint))
    lead = mx.broadcast_shapes(packed.shape[:-2], b.shape[:-2])
    b = mx.broadcast_to(b, [*lead, *b.shape[-2:]])
    order = mx.broadcast_to(pivot_order(pivots, packed.shape[-1]), [*lead, packed.shape[-1]])
    if not adjoint:
        b = mx.take_along_axis(b, order[..., None], axis=-2)
        return triangular_solve(packed, triangular_solve(packed, b, False, True, True), True)
    b = triangular_solve(swap(packed), triangular_solve(swap(packed), b, False), True, True, True)
    return mx.take_along_axis(b, mx.argsort(order, axis=-1)[..., None], axis=-2)


def solve(a: mx.array, b: mx.array, left: bool = True) -> list[mx.array]:
    """X with a X = b (b a matrix, or a vector per matrix), and the factors of a: X, LU, pivots."""
    packed, pivots = lu_packed(a)
    vector = b.ndim == 1 or (a.ndim - 1 == b.ndim and list(a.shape[:-1]) == list(b.shape))
    x = lu_solve(packed, pivots, b[..., None] if vector else b, left or vector)
    return [x[..., 0] if vector else x, packed, pivots]


def determinant(a: mx.array) -> list[mx.array]:
    """The determinant, and the factors of a."""
    packed, pivots = lu_packed(a)
    swaps = mx.sum((pivots != mx.arange(1, pivots.shape[-1] + 1)).astype(mx.int32), axis=-1)
    sign = mx.where(mx.remainder(swaps, 2) == 0, 1.0, -1.0)
    return [sign * mx.prod(mx.diagonal(packed, 0, -2, -1), axis=-1), packed, pivots]


def slogdet(a: mx.array) -> list[mx.array]:
    """Sign and log of the size of the determinant, and the factors of a."""
    packed, pivots = lu_packed(a)
    diagonal = mx.diagonal(packed, 0, -2, -1)
    swaps = mx.sum((pivots != mx.arange(1, pivots.shape[-1] + 1)).astype(mx.int32), axis=-1)
    sign = mx.where(mx.remainder(swaps, 2) == 0, 1.0, -1.0) * mx.prod(mx.sign(diagonal), axis=-1)
    return [sign, mx.sum(mx.log(mx.abs(diagonal)), axis=-1), packed, pivots]


def inverse(a: mx.array) -> mx.array:
    """The inverse of square matrices."""
    return solve(a, mx.broadcast_to(mx.eye(a.shape[-1]), a.shape))[0]


def cholesky(a: mx.array, upper: bool = False) -> mx.array:
    """The triangular factor: a = L Lᵀ, or a = Uᵀ U."""
    size = a.shape[-1]
    a = swap(a) if upper else a
    columns: list[mx.array] = []
    for j in range(size):
        column = a[..., :, j]
        for done in columns:
            column = column - done * done[..., j : j + 1]
        column = column * mx.rsqrt(column[..., j : j + 1])
        columns.append(mx.where(mx.arange(size) >= j, column, 0))
    factor = mx.stack(columns, axis=-1) if size else a
    return swap(factor) if upper else factor


def cholesky_solve(b: mx.array, factor: mx.array, upper: bool) -> mx.array:
    """X with A X = b from the triangular factor of A."""
    if upper:
        return triangular_solve(factor, triangular_solve(swap(factor), b, False), True)
    return triangular_solve(swap(factor), triangular_solve(factor, b, False), True)


def svd(a: mx.array, full: bool, vectors: bool) -> list[mx.array]:
    """U, S, Vᵀ of a (LAPACK, on the CPU); only S without vectors."""
    rows, columns = a.shape[-2:]
    size = min(rows, columns)
    if 0 in a.shape:
        lead = list(a.shape[:-2])
        u = mx.broadcast_to(mx.eye(rows, rows if full else size), [*lead, rows, rows if full else size])
        v = mx.broadcast_to(mx.eye(columns if full else size, columns), [*lead, columns if full else size, columns])
        parts = [u, mx.zeros([*lead, size]), v]
        return parts if vectors else [mx.zeros([0]), parts[1], mx.zeros([0])]
    if not vectors:
        return [mx.zeros([0]), mx.linalg.svd(a, compute_uv=False, stream=mx.cpu), mx.zeros([0])]
    v, s, u = mx.linalg.svd(swap(a), stream=mx.cpu)  # LAPACK counts by columns: it then sees a itself, as from torch
    u, v = swap(u), swap(v)
    return [u, s, v] if full else [u[..., :size], s, v[..., :size, :]]


def eig(a: mx.array) -> list[mx.array]:
    """Eigenvalues and eigenvectors of a, in torch's order.

    MLX gives the transpose to LAPACK, which finds the same eigenvalues in another order: ask for that order too.
    """
    values, vectors = mx.linalg.eig(a, stream=mx.cpu)
    if not a.size:
        return [values, vectors]
    size = a.shape[-1]
    wanted = mx.linalg.eigvals(swap(a), stream=mx.cpu)
    order = []
    for found, targets in zip(values.reshape([-1, size]).tolist(), wanted.reshape([-1, size]).tolist(), strict=True):
        left = list(range(size))
        for target in targets:
            nearest = min(left, key=[abs(value - target) for value in found].__getitem__)
            left.remove(nearest)
            order.append(nearest)
    index = mx.array(order).reshape(values.shape)
    return [mx.take_along_axis(values, index, axis=-1), mx.take_along_axis(vectors, index[..., None, :], axis=-1)]


def householder_qr(a: mx.array) -> list[mx.array]:
    """R above the diagonal, the reflectors below it, and their factors tau, as LAPACK's geqrf stores them."""
    rows, columns = a.shape[-2:]
    taus = []
    index = mx.arange(rows)
    for k in range(min(rows, columns)):
        column = mx.where(index >= k, a[..., :, k], 0)
        alpha = column[..., k : k + 1]
        rest = mx.sum(mx.where(index > k, column * column, 0), axis=-1, keepdims=True)
        size = mx.sqrt(alpha * alpha + rest)
        beta = mx.where(alpha >= 0, -size, size)
        flat = rest == 0  # already zero below: LAPACK leaves the column and sets tau to 0
        tau = mx.where(flat, 0, (beta - alpha) / mx.where(flat, 1, beta))
        vector = mx.where(index > k, column / mx.where(flat, 1, alpha - beta), mx.where(index == k, 1.0, 0.0))
        vector = mx.where(flat & (index > k), 0, vector)
        projection = (vector[..., None, :] @ a) * tau[..., None]
        updated = a - vector[..., :, None] * projection
        head = mx.where(flat, alpha, beta)
        stored = mx.where(index == k, head, mx.where(index > k, vector, updated[..., :, k]))
        right = (mx.arange(columns) > k)[None, :]
        this = (mx.arange(columns) == k)[None, :]
        a = mx.where(this, stored[..., :, None], mx.where(right, updated, a))
        taus.append(tau)
    tau = mx.concatenate(taus, axis=-1) if taus else mx.zeros([*a.shape[:-2], 0])
    return [a, tau]


def apply_reflectors(reflectors: mx.array, tau: mx.array, x: mx.array, transpose: bool) -> mx.array:
    """Q x or Qᵀ x, Q being the product of the reflectors."""
    rows = reflectors.shape[-2]
    index = mx.arange(rows)
    count = tau.shape[-1]
    for k in range(count) if transpose else range(count - 1, -1, -1):
        vector = mx.where(index > k, reflectors[..., :, k], mx.where(index == k, 1.0, 0.0))
        projection = (vector[..., None, :] @ x) * tau[..., k : k + 1, None]
        x = x - vector[..., :, None] * projection
    return x


def qr(a: mx.array, mode: str) -> list[mx.array]:
    """Q and R of a; mode "reduced", "complete" or "r"."""
    rows, columns = a.shape[-2:]
    size = rows if mode == "complete" else min(rows, columns)
    packed, tau = householder_qr(a)
    upper = mx.triu(packed)[..., :size, :] if rows and columns else mx.zeros([*a.shape[:-2], size, columns])
    if mode == "r":
        return [mx.zeros([0]), upper]
    start = mx.broadcast_to(mx.eye(rows, size), [*a.shape[:-2], rows, size])
    return [apply_reflectors(packed, tau, start, False) if columns else start, upper]


def pinv(a: mx.array, atol, rtol, hermitian: bool) -> mx.array:
    """The pseudo-inverse; singular values at or below max(atol, rtol · largest) count as 0."""
    if 0 in a.shape:
        return mx.zeros([*a.shape[:-2], a.shape[-1], a.shape[-2]])
    a = mx.tril(a) + swap(mx.tril(a, -1)) if hermitian else a
    u, s, v = svd(a, False, True)
    rtol = mx.array(0.0) if rtol is None else rtol
    atol = mx.array(0.0) if atol is None else atol
    limit = mx.maximum(
        atol[..., None] if atol.ndim else atol,
        (rtol[..., None] if rtol.ndim else rtol) * mx.max(s, axis=-1, keepdims=True),
    )
    inverse_s = mx.where(s > limit, 1 / mx.where(s == 0, 1, s), 0)
    return swap(v) @ (inverse_s[..., :, None] * swap(u))


def lstsq(a: mx.array, b: mx.array, driver: str) -> list[mx.array]:
    """The least-squares solution of a X = b; then residuals, rank and singular values, if the driver gives them."""
    vector = a.ndim - 1 == b.ndim and a.ndim > 1
    rhs = b[..., None] if vector else b
    rows, columns = a.shape[-2:]
    limit = 1.1920929e-07 * max(rows, columns)
    x = pinv(a, None, mx.array(limit), False) @ rhs
    _, s, _ = svd(a, False, False)
    rank = mx.sum((s > limit * mx.max(s, axis=-1, keepdims=True)).astype(mx.int64), axis=-1)
    residuals = mx.zeros([0])
    if rows > columns and driver != "gelsy" and (driver == "gels" or bool(mx.all(rank == columns).item())):
        residuals = mx.sum(mx.square(a @ x - rhs), axis=-2)
        residuals = residuals[..., 0] if vector else residuals
    rank = mx.zeros([0], dtype=mx.int64) if driver == "gels" else rank
    return [x[..., 0] if vector else x, residuals, rank, s if driver in ("gelsd", "gelss") else mx.zeros([0])]


def matrix_exp(a: mx.array) -> mx.array:
    """exp of square matrices: a Taylor series of degree 18 after scaling to norm 1/2, then squaring."""
    if not a.size:
        return a
    size = mx.max(mx.sum(mx.abs(a), axis=-2))
    squarings = max(0, int(mx.ceil(mx.log2(mx.maximum(size, 1e-30))).item()) + 1)
    scaled = a / 2**squarings
    term = total = mx.broadcast_to(mx.eye(a.shape[-1]), a.shape)
    for k in range(1, 13):
        term = term @ scaled / k
        total = total + term
    for _ in range(squarings):
        total = total @ total
    return total
