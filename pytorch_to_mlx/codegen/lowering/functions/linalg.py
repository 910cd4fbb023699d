"""Linear algebra in torch's forms. MLX computes decompositions on the CPU."""

# MLX's types let item and tolist return any scalar, complex ones too, and svd an array or three. The rules are off
# for the whole file, because a comment on a line would be copied into generated source with it.
# pyright: reportArgumentType=false, reportReturnType=false

import math

import mlx.core as mx


def swap(x: mx.array) -> mx.array:
    """Transpose matrices. Shapes: x [..., N, M] -> [..., M, N]."""
    return x.swapaxes(-1, -2)


def lu_packed(a: mx.array, pivot: bool = True) -> list[mx.array]:
    """Factor matrices by LU: L and U in one matrix, and the row swapped at each step, counted from 1 (int32).

    Shapes: a [..., N, M] -> [..., N, M], [..., min(N, M)].
    """
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
        new_column = mx.where(head != 0, factor, a[:, :, k : k + 1])
        a = mx.where(below & (mx.arange(columns) == k)[None, None, :], new_column, a)
    steps = mx.stack(pivots, axis=-1) if pivots else mx.zeros([a.shape[0], 0], dtype=mx.int32)
    return [a.reshape([*lead, rows, columns]), steps.reshape([*lead, -1] if pivots else [*lead, 0])]


def pivot_order(pivots: mx.array, rows: int) -> mx.array:
    """Return the row order that the swaps make. Shapes: pivots [..., K] -> [..., rows] int64."""
    *lead, steps = pivots.shape
    flat = pivots.reshape([math.prod(lead), steps])
    order = mx.broadcast_to(mx.arange(rows), [flat.shape[0], rows])
    for k in range(steps):
        other = flat[:, k : k + 1] - 1
        left, right = order[:, k : k + 1], mx.take_along_axis(order, other, axis=1)
        order = mx.where(mx.arange(rows) == k, right, mx.where(mx.arange(rows) == other, left, order))
    return order.reshape([*lead, rows]).astype(mx.int64)


def swap_sign(pivots: mx.array) -> mx.array:
    """Return -1 where the number of row swaps is odd, else 1. Shapes: pivots [..., N] -> [...]."""
    swaps = mx.sum((pivots != mx.arange(1, pivots.shape[-1] + 1)).astype(mx.int32), axis=-1)
    return mx.where(mx.remainder(swaps, 2) == 0, 1.0, -1.0)


def lu_unpack(packed: mx.array, pivots: mx.array) -> list[mx.array]:
    """Return P, L and U with P L U equal to the matrix that was factored.

    Shapes: packed [..., N, M], pivots [..., K] -> [..., N, N], [..., N, K], [..., K, M]; K = min(N, M).
    """
    rows, columns = packed.shape[-2:]
    size = min(rows, columns)
    lower = mx.tril(packed[..., :, :size], -1) + mx.eye(rows, size)
    upper = mx.triu(packed[..., :size, :])
    order = pivot_order(pivots, rows)
    return [swap((order[..., :, None] == mx.arange(rows)).astype(packed.dtype)), lower, upper]


def triangular_solve(a: mx.array, b: mx.array, upper: bool, left: bool = True, unit: bool = False) -> mx.array:
    """Solve a X = b (or X a = b, if not left) by substitution, row by row.

    Shapes: a [..., N, N], b [..., N, K] (or [..., K, N]) -> X like b. unit: the diagonal of a counts as 1.
    """
    if not left:
        return swap(triangular_solve(swap(a), swap(b), not upper, True, unit))
    lead = mx.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    size = a.shape[-1]
    a = mx.broadcast_to(a, [*lead, size, size])
    b = mx.broadcast_to(b, [*lead, size, b.shape[-1]])
    rows: dict[int, mx.array] = {}
    for i in range(size - 1, -1, -1) if upper else range(size):
        total = b[..., i, :]
        for j, row in rows.items():
            total = total - a[..., i, j : j + 1] * row
        rows[i] = total if unit else total / a[..., i, i : i + 1]
    return mx.stack([rows[i] for i in range(size)], axis=-2) if size else b


def lu_solve(packed: mx.array, pivots: mx.array, b: mx.array, left: bool = True, adjoint: bool = False) -> mx.array:
    """Solve A X = b (or X A = b, if not left), or with the adjoint of A, from the packed factors of A.

    Shapes: packed [..., N, N], pivots [..., N], b [..., N, K] (or [..., K, N]) -> X like b.
    """
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
    """Solve a X = b (or X a = b, if not left); return X and the factors of a.

    Shapes: a [..., N, N], b [..., N, K] or a vector per matrix -> X like b, LU [..., N, N], pivots [..., N].
    """
    packed, pivots = lu_packed(a)
    vector = b.ndim == 1 or (a.ndim - 1 == b.ndim and list(a.shape[:-1]) == list(b.shape))
    x = lu_solve(packed, pivots, b[..., None] if vector else b, left or vector)
    return [x[..., 0] if vector else x, packed, pivots]


def determinant(a: mx.array) -> list[mx.array]:
    """Return the determinant, and the factors of a.

    Shapes: a [..., N, N] -> [...], LU [..., N, N], pivots [..., N].
    """
    packed, pivots = lu_packed(a)
    return [swap_sign(pivots) * mx.prod(mx.diagonal(packed, 0, -2, -1), axis=-1), packed, pivots]


def slogdet(a: mx.array) -> list[mx.array]:
    """Return the sign and the log of the size of the determinant, and the factors of a.

    Shapes: a [..., N, N] -> [...], [...], LU [..., N, N], pivots [..., N].
    """
    packed, pivots = lu_packed(a)
    diagonal = mx.diagonal(packed, 0, -2, -1)
    sign = swap_sign(pivots) * mx.prod(mx.sign(diagonal), axis=-1)
    return [sign, mx.sum(mx.log(mx.abs(diagonal)), axis=-1), packed, pivots]


def inverse(a: mx.array) -> mx.array:
    """Invert square matrices. Shapes: a [..., N, N] -> the same."""
    return solve(a, mx.broadcast_to(mx.eye(a.shape[-1]), a.shape))[0]


def cholesky(a: mx.array, upper: bool = False) -> mx.array:
    """Return the triangular factor: a = L Lᵀ, or a = Uᵀ U for upper. Shapes: a [..., N, N] -> the same."""
    size = a.shape[-1]
    a = swap(a) if upper else a
    columns: list[mx.array] = []
    for j in range(size):
        column = a[..., :, j]
        for earlier in columns:
            column = column - earlier * earlier[..., j : j + 1]
        column = column * mx.rsqrt(column[..., j : j + 1])
        columns.append(mx.where(mx.arange(size) >= j, column, 0))
    factor = mx.stack(columns, axis=-1) if size else a
    return swap(factor) if upper else factor


def cholesky_solve(b: mx.array, factor: mx.array, upper: bool) -> mx.array:
    """Solve A X = b, from the triangular factor of A.

    Shapes: b [..., N, K], factor [..., N, N] -> [..., N, K].
    """
    if upper:
        return triangular_solve(factor, triangular_solve(swap(factor), b, False), True)
    return triangular_solve(swap(factor), triangular_solve(factor, b, False), True)


def svd(a: mx.array, full: bool, vectors: bool) -> list[mx.array]:
    """Return U, S and Vᵀ of a (LAPACK, on the CPU); only S without vectors.

    Shapes: a [..., N, M] -> [..., N, K], [..., K], [..., K, M]; K = min(N, M). full: U [..., N, N], Vᵀ [..., M, M].
    """
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
    """Return eigenvalues and eigenvectors of a, in torch's order.

    Shapes: a [..., N, N] -> [..., N], [..., N, N], both complex.
    MLX gives the transpose to LAPACK, which finds the same eigenvalues in another order: ask for that order too.
    """
    values, vectors = mx.linalg.eig(a, stream=mx.cpu)
    if not a.size:
        return [values, vectors]
    size = a.shape[-1]
    ordered = mx.linalg.eigvals(swap(a), stream=mx.cpu)
    order = []
    for ours, targets in zip(values.reshape([-1, size]).tolist(), ordered.reshape([-1, size]).tolist(), strict=True):
        remaining = list(range(size))
        for target in targets:
            nearest = min(remaining, key=[abs(value - target) for value in ours].__getitem__)
            remaining.remove(nearest)
            order.append(nearest)
    index = mx.array(order).reshape(values.shape)
    return [mx.take_along_axis(values, index, axis=-1), mx.take_along_axis(vectors, index[..., None, :], axis=-1)]


def householder_qr(a: mx.array) -> list[mx.array]:
    """Factor as LAPACK's geqrf does: R above the diagonal, the reflectors below it, and their factors tau.

    Shapes: a [..., N, M] -> [..., N, M], [..., min(N, M)].
    """
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
        new_column = mx.where(index == k, head, mx.where(index > k, vector, updated[..., :, k]))
        right = (mx.arange(columns) > k)[None, :]
        this = (mx.arange(columns) == k)[None, :]
        a = mx.where(this, new_column[..., :, None], mx.where(right, updated, a))
        taus.append(tau)
    tau = mx.concatenate(taus, axis=-1) if taus else mx.zeros([*a.shape[:-2], 0])
    return [a, tau]


def apply_reflectors(reflectors: mx.array, tau: mx.array, x: mx.array, transpose: bool) -> mx.array:
    """Multiply x by Q or Qᵀ, Q being the product of the reflectors.

    Shapes: reflectors [..., N, M], tau [..., K], x [..., N, L] -> [..., N, L].
    """
    rows = reflectors.shape[-2]
    index = mx.arange(rows)
    count = tau.shape[-1]
    for k in range(count) if transpose else range(count - 1, -1, -1):
        vector = mx.where(index > k, reflectors[..., :, k], mx.where(index == k, 1.0, 0.0))
        projection = (vector[..., None, :] @ x) * tau[..., k : k + 1, None]
        x = x - vector[..., :, None] * projection
    return x


def qr(a: mx.array, mode: str) -> list[mx.array]:
    """Return Q and R of a; mode "reduced", "complete" or "r" (then Q is empty).

    Shapes: a [..., N, M] -> [..., N, K], [..., K, M]; K = min(N, M), or N for "complete".
    """
    rows, columns = a.shape[-2:]
    size = rows if mode == "complete" else min(rows, columns)
    packed, tau = householder_qr(a)
    upper = mx.triu(packed)[..., :size, :] if rows and columns else mx.zeros([*a.shape[:-2], size, columns])
    if mode == "r":
        return [mx.zeros([0]), upper]
    start = mx.broadcast_to(mx.eye(rows, size), [*a.shape[:-2], rows, size])
    return [apply_reflectors(packed, tau, start, False) if columns else start, upper]


def pinv(a: mx.array, atol, rtol, hermitian: bool) -> mx.array:
    """Return the pseudo-inverse; singular values at or below max(atol, rtol · largest) count as 0.

    rtol: float32's rounding times the longer side where it is None, and no atol says what counts.

    Shapes: a [..., N, M], atol and rtol [] or [...] -> [..., M, N]. hermitian: only the lower triangle of a is read.
    """
    if 0 in a.shape:
        return mx.zeros([*a.shape[:-2], a.shape[-1], a.shape[-2]])
    a = mx.tril(a) + swap(mx.tril(a, -1)) if hermitian else a
    u, s, v = svd(a, False, True)
    if rtol is None:
        rounding = mx.array(1.1920929e-07 * max(a.shape[-2:]))
        rtol = rounding if atol is None else mx.where(atol > 0, 0.0, rounding)
    atol = mx.array(0.0) if atol is None else atol
    limit = mx.maximum(
        atol[..., None] if atol.ndim else atol,
        (rtol[..., None] if rtol.ndim else rtol) * mx.max(s, axis=-1, keepdims=True),
    )
    inverse_s = mx.where(s > limit, 1 / mx.where(s == 0, 1, s), 0)
    return swap(v) @ (inverse_s[..., :, None] * swap(u))


def lstsq(a: mx.array, b: mx.array, driver: str) -> list[mx.array]:
    """Solve a X = b by least squares; also return residuals, rank and singular values, if the driver gives them.

    Shapes: a [..., N, M], b [..., N, K] or [..., N] -> X [..., M, K], residuals [..., K], rank [...],
    singular values [..., min(N, M)]; without K for a vector, and [0] for what the driver does not give.
    """
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
    """Return exp of square matrices: a Taylor series of degree 12 after scaling to norm 1/2, then squaring.

    Shapes: a [..., N, N] -> the same.
    """
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
