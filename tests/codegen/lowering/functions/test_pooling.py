"""Pooling with torch's rules, against torch."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from pytorch_to_mlx.codegen.capture.tensors import to_mlx, to_numpy
from pytorch_to_mlx.codegen.lowering.functions import pooling

torch.manual_seed(0)
X = torch.randn(2, 3, 7, 8)


def same(ours, expected):
    np.testing.assert_allclose(to_numpy(ours), expected.numpy(), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("ceil", [False, True])
@pytest.mark.parametrize("dilation", [1, 2])
def test_max_pool(ceil, dilation):
    x = X.clone()
    x[0, 0, 2, 3] = float("nan")
    values, places = functional.max_pool2d(x, 3, 2, 1, dilation, ceil, return_indices=True)
    settings = [(3, 3), (2, 2), (1, 1), (dilation, dilation), ceil]
    ours, ours_places = pooling.max_pool_indices(to_mlx(x), *settings)
    same(ours, values)
    assert ours_places.tolist() == places.tolist()
    same(pooling.max_pool(to_mlx(X), *settings), functional.max_pool2d(X, 3, 2, 1, dilation, ceil))


@pytest.mark.parametrize("ceil, include_pad, divisor", [(True, True, None), (True, False, None), (False, False, 5)])
def test_avg_pool(ceil, include_pad, divisor):
    expected = functional.avg_pool2d(X, 3, 2, 1, ceil, include_pad, divisor)
    same(pooling.avg_pool(to_mlx(X), (3, 3), (2, 2), (1, 1), ceil, include_pad, divisor), expected)


def test_adaptive_pools():
    same(pooling.adaptive_avg_pool(to_mlx(X), [3, None]), functional.adaptive_avg_pool2d(X, [3, None]))
    values, places = functional.adaptive_max_pool2d(X, [3, 5], return_indices=True)
    ours, ours_places = pooling.adaptive_max_pool(to_mlx(X), [3, 5])
    same(ours, values)
    assert ours_places.tolist() == places.tolist()


def test_max_unpool():
    values, places = functional.max_pool2d(X, 2, return_indices=True)
    same(
        pooling.max_unpool(to_mlx(values), to_mlx(places), [7, 8]),
        functional.max_unpool2d(values, places, 2, output_size=(7, 8)),
    )


def test_fractional_max_pool():
    samples = torch.rand(2, 3, 2)
    values, places = torch.ops.aten.fractional_max_pool2d(X, [2, 3], [4, 3], samples)
    ours, ours_places = pooling.fractional_max_pool(to_mlx(X), [2, 3], [4, 3], to_mlx(samples))
    same(ours, values)
    assert ours_places.tolist() == places.tolist()
