"""Convolutions with shared products, over every number of taps that is taken apart differently."""

import mlx.core as mx
import numpy as np
import pytest
import torch
from backend.kernels import CPU, no_worse_than_torch, random, to_numpy

from pytorch_to_mlx.backend import ops, plain

FACTOR = 2 if CPU else 20  # how much worse than PyTorch; MLX's reference BLAS sums in one chain
SHAPES = [
    (1, 500, 64, 64, 3, 1), (1, 1001, 128, 128, 11, 5), (1, 801, 128, 96, 7, 3), (2, 400, 50, 70, 4, 1),
    (1, 555, 64, 50, 5, 2), (3, 301, 48, 48, 8, 4), (1, 403, 512, 64, 3, 3), (1, 400, 64, 64, 10, 1),
]  # fmt: skip


def theirs(x, w, b, dilation, add):
    padding = dilation * (w.shape[1] - 1) // 2
    return torch.conv1d(x.mT, w.mT, b, padding=padding, dilation=dilation).mT + add


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_error(shape):
    B, L, C, D, K, dilation = shape
    x, w, b = random(B, L, C), random(D, K, C) / np.float32(np.sqrt(K * C)), random(D)
    padding = dilation * (K - 1) // 2
    rows = L + 2 * padding - dilation * (K - 1)
    add = random(B, rows, D)
    ours = ops.conv1d(*map(mx.array, (x, w, b)), padding=padding, dilation=dilation, add=mx.array(add))
    no_worse_than_torch(ours, theirs, x, w, b, dilation, add, factor=FACTOR)
    ours = ops.conv1d(mx.array(x), mx.array(w), padding=padding, dilation=dilation)
    no_worse_than_torch(ours, theirs, x, w, np.zeros(D, np.float32), dilation, np.zeros_like(add), factor=FACTOR)
    turned = mx.array(np.ascontiguousarray(x.swapaxes(1, 2))).swapaxes(1, 2)
    same = ops.conv1d(turned, mx.array(w), padding=padding, dilation=dilation)
    np.testing.assert_array_equal(to_numpy(same), to_numpy(ours))


def test_add_without_shared_products():
    x, w, b, add = random(2, 30, 8), random(5, 3, 8), random(5), random(2, 28, 5)
    arrays = [mx.array(a) for a in (x, w, b)]
    want = plain.conv1d(*arrays, add=mx.array(add))
    np.testing.assert_allclose(to_numpy(ops.conv1d(*arrays, add=mx.array(add))), to_numpy(want), rtol=1e-5, atol=1e-5)
    with pytest.raises(ValueError, match="add must have the shape"):
        ops.conv1d(*arrays, add=mx.zeros((2, 30, 5)))
    ours, expected = (
        mx.grad(lambda x, a, f=f: (f(x, *arrays[1:], add=a) ** 2).sum(), argnums=(0, 1))(arrays[0], mx.array(add))
        for f in (ops.conv1d, plain.conv1d)
    )
    for one, other in zip(ours, expected, strict=True):
        np.testing.assert_allclose(to_numpy(one), to_numpy(other), rtol=1e-4, atol=1e-4)


def test_special_values_stay_where_they_are():
    x, w = random(1, 600, 64), random(64, 3, 64)
    x[0, 300, 5] = np.nan
    y = to_numpy(ops.conv1d(mx.array(x), mx.array(w), padding=1))
    assert np.isnan(y[0, 299:302]).all() and not np.isnan(np.delete(y[0], range(298, 304), axis=0)).any()


def test_sums_of_arrays():
    a, b, c = (random(3, 41) for _ in range(3))
    for arrays in ((a, b), (a, b, c), (a, b, c, a)):
        want = np.sum(arrays, axis=0) * np.float32(1 / 3)
        np.testing.assert_allclose(to_numpy(ops.add(*map(mx.array, arrays), scale=1 / 3)), want, rtol=1e-5, atol=1e-6)
    turned = mx.array(np.ascontiguousarray(a.T)).T
    np.testing.assert_array_equal(to_numpy(ops.add(turned, mx.array(b))), a + b)
