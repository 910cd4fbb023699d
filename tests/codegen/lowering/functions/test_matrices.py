"""Matrix products of other dtypes and of groups, against torch."""

import mlx.core as mx
import numpy as np
import pytest
import torch

from pytorch_to_mlx.codegen.capture.tensors import to_mlx, to_numpy
from pytorch_to_mlx.codegen.lowering.functions.matrices import cross, exact_matmul, grouped_matmul


@pytest.mark.parametrize("x, y", [((2, 3, 4), (2, 4, 5)), ((4,), (4, 5)), ((3, 4), (4,)), ((4,), (4,))])
def test_integers(x, y):
    torch.manual_seed(0)
    x, y = torch.randint(-9, 9, x), torch.randint(-9, 9, y)
    assert exact_matmul(to_mlx(x), to_mlx(y)).tolist() == (x @ y).tolist()


def test_complex_numbers():
    torch.manual_seed(0)
    x, y = torch.randn(3, 4, dtype=torch.complex64), torch.randn(4, 2, dtype=torch.complex64)
    np.testing.assert_allclose(to_numpy(exact_matmul(to_mlx(x), to_mlx(y))), (x @ y).numpy(), atol=1e-6)


def test_cross():
    x, y = torch.arange(6.0).reshape(3, 2), torch.tensor([[1.0, 0], [2, -1], [0, 3]])
    assert cross(to_mlx(x), to_mlx(y), 0).tolist() == torch.linalg.cross(x, y, dim=0).tolist()


def test_groups_of_rows_and_rows_after_the_last():
    x, weight = mx.arange(10.0).reshape(5, 2), mx.array([[[1.0], [0.0]], [[0.0], [1.0]]])
    assert grouped_matmul(x, weight, mx.array([2, 4])).tolist() == [[0.0], [2.0], [5.0], [7.0], [0.0]]
