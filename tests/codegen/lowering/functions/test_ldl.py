"""The Bunch-Kaufman factorisation, against torch."""

import pytest
import torch

from pytorch_to_mlx.codegen.capture.tensors import to_mlx, to_numpy
from pytorch_to_mlx.codegen.lowering.functions.ldl import ldl_factor, ldl_solve
from pytorch_to_mlx.codegen.proof.compare import agree


@pytest.mark.parametrize("seed", range(3))
def test_indefinite_matrices(seed):
    """The samples of torch need no 2 x 2 pivots; these do."""
    torch.manual_seed(seed)
    a, b = torch.randn(2, 7, 7), torch.randn(2, 7, 2)
    a = (a + a.mT) * (1 - torch.eye(7))
    factors, pivots = torch.linalg.ldl_factor(a)
    assert (pivots < 0).any()
    packed, rows = ldl_factor(to_mlx(a))
    assert to_numpy(rows).tolist() == pivots.tolist()
    assert agree(to_numpy(packed), factors.numpy(), torch.linalg.ldl_factor(a.double())[0].numpy()).ok
    solution = to_numpy(ldl_solve(packed, rows, to_mlx(b)))
    expected, exact = torch.linalg.ldl_solve(factors, pivots, b), torch.linalg.solve(a.double(), b.double())
    assert agree(solution, expected.numpy(), exact.numpy()).ok
