"""The Bunch-Kaufman factorisation P L D Lᵀ Pᵀ of symmetric matrices, pivoted and packed as LAPACK's sytrf does.

Source: Bunch & Kaufman 1977, "Some stable methods for calculating inertia and solving symmetric linear systems".
"""

# MLX's types let item and tolist return any scalar, complex ones too. The rules are off for the whole file,
# because a comment on a line would be copied into generated source with it.
# pyright: reportArgumentType=false, reportGeneralTypeIssues=false, reportOperatorIssue=false, reportReturnType=false

import math

import mlx.core as mx

GROWTH = (1 + math.sqrt(17)) / 8  # a diagonal entry that is not smaller than this share of its column is a pivot


def ldl_factor(a: mx.array) -> list[mx.array]:
    """Factor symmetric matrices: L and D in the lower triangle, and LAPACK's row numbers (int32).

    Shapes: a [..., N, N] -> [..., N, N], [..., N].
    """
    size = a.shape[-1]
    if not a.size:
        return [a, mx.zeros(a.shape[:-1], dtype=mx.int32)]
    factors = [ldl_of_one(matrix) for matrix in a.reshape([-1, size, size])]
    packed = mx.stack([lower for lower, _ in factors]).reshape(a.shape)
    pivots = mx.array([rows for _, rows in factors], dtype=mx.int32).reshape(a.shape[:-1])
    return [packed, pivots]


def ldl_of_one(a: mx.array) -> tuple[mx.array, list[int]]:
    """Factor one matrix, column by column. Shapes: a [N, N] -> packed [N, N], and N row numbers."""
    rest = mx.tril(a) + mx.tril(a, -1).T
    columns, pivots = [], []
    while (k := len(pivots)) < a.shape[0]:
        count = rest.shape[0]
        wide, row = ldl_pivot(rest)
        order = list(range(count))
        order[wide], order[row] = order[row], order[wide]
        rest = rest[mx.array(order)][:, mx.array(order)]
        pivots += [-(row + k + 1)] * 2 if wide else [row + k + 1]
        step = wide + 1
        below = rest[step:, :step]
        if wide:
            (d11, d21), (_, d22) = rest[:2, :2].tolist()
            scale = d11 * d22 - d21 * d21
            factor = below @ mx.array([[d22 / scale, -d21 / scale], [-d21 / scale, d11 / scale]])
        else:
            head = rest[0, 0]
            factor = below / mx.where(head == 0, 1, head)
        for i in range(step):
            columns.append(mx.concatenate([mx.zeros([k + i]), rest[i:step, i], factor[:, i]]))
        rest = rest[step:, step:] - factor @ below.T
    return mx.stack(columns, axis=1), pivots


def ldl_pivot(a: mx.array) -> tuple[int, int]:
    """Choose the next pivot: a 2 x 2 block (1) or a number (0), and the row to bring to its last row.

    Shapes: a [N, N], the rest of the matrix.
    """
    first = mx.abs(a[:, 0])
    head, largest = first[0].item(), mx.max(first[1:]).item() if a.shape[0] > 1 else 0.0
    if head >= GROWTH * largest:
        return 0, 0
    row = mx.argmax(first[1:]).item() + 1
    others = mx.abs(mx.where(mx.arange(a.shape[0]) == row, 0, a[row]))
    other = mx.max(others).item()
    if head * other >= GROWTH * largest * largest:
        return 0, 0
    return (0, row) if abs(a[row, row].item()) >= GROWTH * other else (1, row)


def ldl_solve(packed: mx.array, pivots: mx.array, b: mx.array) -> mx.array:
    """Solve A X = b, from the packed factors of A.

    Shapes: packed [..., N, N], pivots [..., N], b [..., N, K] -> [..., N, K].
    """
    size, columns = b.shape[-2:]
    lead = mx.broadcast_shapes(packed.shape[:-2], b.shape[:-2])
    if 0 in lead or not size or not columns:
        return mx.zeros([*lead, size, columns], dtype=b.dtype)
    matrices = mx.broadcast_to(packed, [*lead, size, size]).reshape([-1, size, size])
    rows = mx.broadcast_to(pivots, [*lead, size]).reshape([-1, size]).tolist()
    rights = mx.broadcast_to(b, [*lead, size, columns]).reshape([-1, size, columns])
    solutions = [ldl_solve_one(*parts) for parts in zip(matrices, rows, rights, strict=True)]
    return mx.stack(solutions).reshape([*lead, size, columns])


def ldl_solve_one(packed: mx.array, pivots: list[int], b: mx.array) -> mx.array:
    """Solve for one matrix: forward through L and D, back through Lᵀ.

    Shapes: packed [N, N], b [N, K] -> [N, K].
    """
    size, steps, k = len(pivots), [], 0
    while k < size:
        wide = 2 if pivots[k] < 0 else 1
        steps.append((k, wide, abs(pivots[k]) - 1))
        k += wide
    for k, wide, row in steps:
        b = swap_rows(b, k + wide - 1, row)
        block = packed[k : k + wide, k : k + wide]
        tail = b[k + wide :] - packed[k + wide :, k : k + wide] @ b[k : k + wide]
        if wide == 2:
            (d11, _), (d21, d22) = block.tolist()
            scale = d11 * d22 - d21 * d21
            block = mx.array([[d22 / scale, -d21 / scale], [-d21 / scale, d11 / scale]]) @ b[k : k + 2]
        else:
            block = b[k : k + 1] / block
        b = mx.concatenate([b[:k], block, tail])
    for k, wide, row in reversed(steps):
        block = b[k : k + wide] - packed[k + wide :, k : k + wide].T @ b[k + wide :]
        b = swap_rows(mx.concatenate([b[:k], block, b[k + wide :]]), k + wide - 1, row)
    return b


def swap_rows(x: mx.array, first: int, second: int) -> mx.array:
    """Exchange two rows. Shapes: x [N, ...] -> the same."""
    order = list(range(x.shape[0]))
    order[first], order[second] = order[second], order[first]
    return x[mx.array(order)]
