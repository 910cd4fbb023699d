"""Order statistics, distinct values and histograms, against torch."""

import mlx.core as mx
import numpy as np
import pytest
import torch

from pytorch_to_mlx.codegen.capture.tensors import to_mlx, to_numpy
from pytorch_to_mlx.codegen.lowering.functions import sort

X = torch.tensor([[3, 1, 3, 2, 1], [5, 5, 0, -1, 0]])
F = torch.tensor([[2.0, float("nan"), -1.0, 2.0], [0.5, 0.25, 0.5, 4.0]])
EDGES = torch.tensor([1.0, 2.0, 2.0, 5.0])


@pytest.mark.parametrize("ours, theirs, x", [
    (lambda x: sort.sort(x, 1), lambda x: x.sort(dim=1, stable=True), X),
    (lambda x: sort.sort(x, 0, True), lambda x: x.sort(dim=0, descending=True, stable=True), X),
    (lambda x: sort.argsort(x, 1, True), lambda x: x.argsort(dim=1, descending=True, stable=True), F),
    (lambda x: sort.topk(x, 2, 1)[0], lambda x: x.topk(2, 1)[0], X),
    (lambda x: sort.topk(x, 3, 1, False)[0], lambda x: x.topk(3, 1, False)[0], F),
    (lambda x: sort.kthvalue(x, 4, 1, True)[0], lambda x: x.kthvalue(4, 1, True)[0], X),
    (lambda x: sort.median(x, 1, False, False)[0], lambda x: x.median(1)[0], F),
    (lambda x: sort.median(x, 1, True, True)[0], lambda x: x.nanmedian(1, True)[0], F),
    (lambda x: sort.mode(x, 1, False), lambda x: x.mode(1), X),
    (lambda x: sort.searchsorted(to_mlx(EDGES), x, False), lambda x: torch.searchsorted(EDGES, x), F),
    (lambda x: sort.searchsorted(to_mlx(EDGES), x, True), lambda x: torch.searchsorted(EDGES, x, right=True), F),
    (lambda x: sort.isin(x, mx.array([1, 5]), True), lambda x: torch.isin(x, torch.tensor([1, 5]), invert=True), X),
    (lambda x: sort.unique(x, None, False), lambda x: x.unique(return_inverse=True, return_counts=True), X),
    (lambda x: sort.unique(x, 1, False),
     lambda x: x.unique(dim=1, return_inverse=True, return_counts=True), X[:, [0, 1, 0]]),
    (lambda x: sort.unique(x, None, True), lambda x: x.unique_consecutive(return_inverse=True, return_counts=True), X),
    (lambda x: sort.bincount(x, 7), lambda x: x.bincount(minlength=7), X[0]),
    (lambda x: sort.histc(x, 4, 0, 0), lambda x: x.histc(4), F[1]),
    (lambda x: sort.histc(x, 3, 0.3, 1), lambda x: x.histc(3, 0.3, 1), F[1]),
    (lambda x: sort.histogramdd(x.reshape(-1, 1), [3], None, None, True, True),
     lambda x: x.histogram(3, density=True), F[1]),
    (lambda x: sort.histogramdd(x, [2, 3], [0, 4, -2, 5], None, False, False),
     lambda x: torch.histogramdd(x, [2, 3], [0.0, 4, -2, 5])[0], X.T.float()),
])  # fmt: skip
def test_agrees_with_torch(ours, theirs, x):
    values, expected = ours(to_mlx(x)), theirs(x)
    pairs = zip(values, expected, strict=True) if isinstance(values, list) else [(values, expected)]
    for value, target in pairs:
        assert tuple(value.shape) == tuple(target.shape)
        np.testing.assert_allclose(to_numpy(value), target.numpy(), rtol=1e-6)


def test_indices_read_their_values():
    for values, index in (sort.topk(to_mlx(X), 3, 1), sort.kthvalue(to_mlx(X), 2, 1, True)):
        assert mx.take_along_axis(to_mlx(X), index, axis=1).tolist() == values.tolist()
