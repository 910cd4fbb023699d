"""Linear algebra in torch's forms, against torch."""

import numpy as np
import pytest
import torch

from pytorch_to_mlx.codegen.capture.tensors import to_mlx, to_numpy
from pytorch_to_mlx.codegen.lowering.functions import linalg
from pytorch_to_mlx.codegen.lowering.ops import lower
from pytorch_to_mlx.codegen.proof.compare import agree

torch.manual_seed(0)
SQUARE, RIGHT, WIDE, TALL = torch.randn(2, 4, 4), torch.randn(2, 4, 3), torch.randn(2, 3, 5), torch.randn(2, 5, 3)
POSITIVE = SQUARE @ SQUARE.mT + torch.eye(4)
VECTOR = torch.randn(2, 4)


def close(ours, expected):
    pairs = zip(ours, expected, strict=True) if isinstance(ours, list) else [(ours, expected)]
    for value, target in pairs:
        assert tuple(value.shape) == tuple(target.shape)
        np.testing.assert_allclose(to_numpy(value), target.numpy(), atol=2e-5, rtol=2e-5)


@pytest.mark.parametrize("matrix", [SQUARE, WIDE, TALL])
def test_lu(matrix):
    packed, pivots = linalg.lu_packed(to_mlx(matrix))
    close([packed, pivots], torch.linalg.lu_factor(matrix))
    close(linalg.lu_unpack(packed, pivots), torch.linalg.lu(matrix))


@pytest.mark.parametrize("left", [True, False])
@pytest.mark.parametrize("adjoint", [True, False])
def test_lu_solve(left, adjoint):
    factors = torch.linalg.lu_factor(SQUARE)
    right = RIGHT if left else RIGHT.mT.contiguous()
    expected = torch.linalg.lu_solve(*factors, right, left=left, adjoint=adjoint)
    close(linalg.lu_solve(*map(to_mlx, factors), to_mlx(right), left, adjoint), expected)


@pytest.mark.parametrize("upper, left, unit", [(True, True, False), (False, False, False), (True, False, True)])
def test_triangular_solve(upper, left, unit):
    matrix = POSITIVE.triu() if upper else POSITIVE.tril()
    right = RIGHT if left else RIGHT.mT.contiguous()
    expected = torch.linalg.solve_triangular(matrix, right, upper=upper, left=left, unitriangular=unit)
    close(linalg.triangular_solve(to_mlx(matrix), to_mlx(right), upper, left, unit), expected)


@pytest.mark.parametrize("ours, theirs", [
    (lambda: linalg.solve(to_mlx(SQUARE), to_mlx(RIGHT))[0], lambda: torch.linalg.solve(SQUARE, RIGHT)),
    (lambda: linalg.solve(to_mlx(SQUARE), to_mlx(VECTOR))[0], lambda: torch.linalg.solve(SQUARE, VECTOR)),
    (lambda: linalg.determinant(to_mlx(SQUARE))[0], lambda: torch.linalg.det(SQUARE)),
    (lambda: linalg.slogdet(to_mlx(SQUARE))[:2], lambda: torch.linalg.slogdet(SQUARE)),
    (lambda: linalg.inverse(to_mlx(SQUARE)), lambda: torch.linalg.inv(SQUARE)),
    (lambda: linalg.cholesky(to_mlx(POSITIVE), True), lambda: torch.linalg.cholesky(POSITIVE, upper=True)),
    (lambda: linalg.cholesky_solve(to_mlx(RIGHT), to_mlx(torch.linalg.cholesky(POSITIVE)), False),
     lambda: torch.linalg.solve(POSITIVE, RIGHT)),
    (lambda: linalg.svd(to_mlx(WIDE), False, False)[1], lambda: torch.linalg.svdvals(WIDE)),
    (lambda: linalg.householder_qr(to_mlx(TALL)), lambda: torch.geqrf(TALL)),
    (lambda: linalg.qr(to_mlx(TALL), "reduced"), lambda: torch.linalg.qr(TALL)),
    (lambda: linalg.qr(to_mlx(TALL), "complete"), lambda: torch.linalg.qr(TALL, "complete")),
    (lambda: linalg.pinv(to_mlx(WIDE), None, None, False), lambda: torch.linalg.pinv(WIDE)),
    (lambda: linalg.lstsq(to_mlx(TALL), to_mlx(RIGHT[:, :1].expand(2, 5, 3).contiguous()), "gelsd")[:3],
     lambda: torch.linalg.lstsq(TALL, RIGHT[:, :1].expand(2, 5, 3), driver="gelsd")[:3]),
    (lambda: linalg.matrix_exp(to_mlx(SQUARE)), lambda: torch.linalg.matrix_exp(SQUARE)),
])  # fmt: skip
def test_agrees_with_torch(ours, theirs):
    close(ours(), theirs())


@pytest.mark.parametrize("matrix", [WIDE, TALL])
@pytest.mark.parametrize("full", [True, False])
def test_svd_gives_the_matrix_back(matrix, full):
    u, s, v = (to_numpy(part) for part in linalg.svd(to_mlx(matrix), full, True))
    assert (u.shape, v.shape) == ((2, matrix.shape[1], 3 if not full else matrix.shape[1]),
                                  (2, 3 if not full else matrix.shape[2], matrix.shape[2]))  # fmt: skip
    np.testing.assert_allclose(u[..., :3] * s[:, None] @ v[:, :3], matrix.numpy(), atol=1e-5)


def test_eigenvectors_belong_to_their_values():
    """torch's own float32 and float64 vectors can differ in sign, which would excuse any error in the samples."""
    torch.manual_seed(0)
    a = torch.randn(3, 6, 6)
    for name, matrix in (("linalg_eig.default", a), ("_linalg_eigh.default", a + a.mT)):
        argument = "x" if name == "linalg_eig.default" else "A"
        values, vectors = (to_numpy(part) for part in lower(f"aten.{name}", {argument: to_mlx(matrix)}, None))
        scaled = vectors * values[..., None, :]
        assert agree((matrix.numpy() @ vectors).astype(scaled.dtype), scaled).ok
