"""Writing into copies of arrays, against torch."""

import mlx.core as mx
import numpy as np
import pytest
import torch
from torch.nn import functional

from pytorch_to_mlx.codegen.capture.tensors import to_mlx, to_numpy
from pytorch_to_mlx.codegen.lowering.functions import scatter

torch.manual_seed(0)
X = torch.arange(24.0).reshape(2, 3, 4)
MASK = X % 3 == 1
ROWS, COLUMNS = torch.tensor([1, 0, 1]), torch.tensor([3, -1, 3])


def same(ours, expected):
    assert tuple(ours.shape) == tuple(expected.shape)
    np.testing.assert_allclose(to_numpy(ours), expected.numpy(), rtol=1e-6)


@pytest.mark.parametrize("indices", [
    [None, ROWS, COLUMNS], [ROWS, None, COLUMNS], [None, None, COLUMNS], [ROWS[:, None], None, COLUMNS],
    [None, MASK[0]],
])  # fmt: skip
def test_read_and_write_by_index(indices):
    ours = [None if item is None else to_mlx(item) for item in indices]
    index = tuple(slice(None) if item is None else item for item in indices)
    same(scatter.index_by_mask(to_mlx(X), ours), X[index])
    copy = to_mlx(X)
    values = torch.full_like(X[index], -1)
    for accumulate in (False, True):
        expected = torch.ops.aten.index_put(X, indices, values, accumulate)
        same(scatter.index_put(copy, ours, to_mlx(values), accumulate), expected)
    same(copy, X)


def test_masks():
    same(scatter.nonzero(to_mlx(MASK)), MASK.nonzero())
    same(scatter.nonzero_static(to_mlx(MASK), 10, -1), torch.nonzero_static(MASK, size=10))
    same(scatter.masked_select(to_mlx(X), to_mlx(MASK)), X[MASK])
    source = -torch.arange(24.0)
    same(scatter.masked_scatter(to_mlx(X), to_mlx(MASK), to_mlx(source)), X.masked_scatter(MASK, source))
    outside = mx.array([0, 9])
    assert scatter.masked_index(mx.array([5.0, 6.0]), mx.array([True, False]), [outside], 7).tolist() == [5, 7]
    added = scatter.masked_index_put(mx.array([5.0, 6.0]), mx.array([True, False]), [outside], mx.array([1.0, 1.0]))
    assert added.tolist() == [6, 6]


@pytest.mark.parametrize("ours, theirs", [
    (lambda x: scatter.put_slice(x, -1.0, 1, 0, 3, 2), lambda x: x.slice_scatter(-torch.ones(2, 2, 4), 1, 0, 3, 2)),
    (lambda x: scatter.put_at(x, -1.0, 2, 1), lambda x: x.select_scatter(-torch.ones(2, 3), 2, 1)),
    (lambda x: scatter.diagonal_scatter(x, mx.zeros([3, 2]), 1, 0, 2),
     lambda x: x.diagonal_scatter(torch.zeros(3, 2), 1, 0, 2)),
    (lambda x: scatter.as_strided_scatter(x, mx.zeros([2, 2]), [2, 2], [5, 3], 1),
     lambda x: x.as_strided_scatter(torch.zeros(2, 2), [2, 2], [5, 3], 1)),
    (lambda x: scatter.index_fill(x, 2, mx.array([0, 3]), 9.0), lambda x: x.index_fill(2, torch.tensor([0, 3]), 9.0)),
    (lambda x: scatter.index_copy(x, 1, mx.array([2, 0]), -x[:, :2]),
     lambda x: x.index_copy(1, torch.tensor([2, 0]), -x[:, :2])),
    (lambda x: scatter.index_add(x, 1, mx.array([2, 2]), x[:, :2]),
     lambda x: x.index_add(1, torch.tensor([2, 2]), x[:, :2])),
    (lambda x: scatter.put_flat(x, mx.array([5, 5, 0]), mx.array([1.0, 1.0, 1.0]), True),
     lambda x: x.put(torch.tensor([5, 5, 0]), torch.ones(3), accumulate=True)),
])  # fmt: skip
def test_slices(ours, theirs):
    same(ours(to_mlx(X)), theirs(X))


@pytest.mark.filterwarnings("ignore:index_reduce")  # torch calls it beta
@pytest.mark.parametrize("include_self", [True, False])
@pytest.mark.parametrize("reduce", ["sum", "prod", "mean", "amax", "amin"])
def test_reductions(reduce, include_self):
    index = torch.tensor([[[0, 0, 2], [1, 1, 0]]])
    source = torch.randn(1, 2, 4)
    expected = X.scatter_reduce(1, index, source, reduce, include_self=include_self)
    same(scatter.scatter(to_mlx(X), 1, to_mlx(index), to_mlx(source), reduce, include_self), expected)
    if reduce != "sum":
        index, source = torch.tensor([2, 0, 2]), torch.randn(2, 3, 4)
        expected = X.index_reduce(1, index, source, reduce, include_self=include_self)
        same(scatter.index_reduce(to_mlx(X), 1, to_mlx(index), to_mlx(source), reduce, include_self), expected)


def test_scatter_sets():
    index = torch.tensor([[[0, 2, 1, 0]]])
    same(scatter.scatter(to_mlx(X), 1, to_mlx(index), -1.0), X.scatter(1, index, -1.0))


@pytest.mark.parametrize("reduce", ["sum", "mean", "max", "min", "prod"])
def test_segments(reduce):
    data, lengths = torch.randn(6, 2), torch.tensor([2, 0, 3, 1])
    expected = torch.segment_reduce(data, reduce, lengths=lengths, axis=0, initial=1.0)
    same(scatter.segment_reduce(to_mlx(data), reduce, to_mlx(lengths), 0, 1.0), expected)


@pytest.mark.parametrize("mode, name", [(0, "sum"), (1, "mean"), (2, "max")])
def test_embedding_bag(mode, name):
    weight, ids, starts = torch.randn(5, 3), torch.tensor([1, 4, 2, 2, 0]), torch.tensor([0, 2, 2])
    expected = functional.embedding_bag(ids, weight, starts, mode=name, padding_idx=2)
    same(scatter.embedding_bag(to_mlx(weight), to_mlx(ids), to_mlx(starts), mode, None, False, 2), expected)


def test_embedding_renorm():
    weight, ids = torch.randn(5, 3), torch.tensor([1, 4])
    expected = torch.embedding_renorm_(weight.clone(), ids, 0.5, 2.0)
    same(scatter.embedding_renorm(to_mlx(weight), to_mlx(ids), 0.5, 2.0), expected)
