"""Helpers on axes, against torch."""

import mlx.core as mx
import numpy as np
import pytest
import torch
from torch.nn import functional

from pytorch_to_mlx.codegen.capture.tensors import to_mlx, to_numpy
from pytorch_to_mlx.codegen.lowering.functions import axes

X = torch.arange(24.0).reshape(2, 3, 4) % 7
COMPLEX = torch.tensor([[1 + 2j, 3 - 1j], [0.5j, -2 + 0j]])
NAN = torch.tensor([[1.0, float("nan"), 3.0, float("nan")], [2.0, 2.0, 1.0, 0.0]])


@pytest.mark.parametrize("ours, theirs, x", [
    (lambda x: axes.flip(x, [0, 2]), lambda x: x.flip(0, 2), X),
    (lambda x: axes.rot90(x, 1, [0, 2]), lambda x: x.rot90(1, [0, 2]), X),
    (lambda x: axes.rot90(x, 6, [0, 2]), lambda x: x.rot90(6, [0, 2]), X),
    (lambda x: axes.rot90(x, -1, [0, 2]), lambda x: x.rot90(-1, [0, 2]), X),
    (lambda x: axes.tril(x, 1), lambda x: x.tril(1), X > 2),
    (lambda x: axes.triu(x, -1), lambda x: x.triu(-1), X > 2),
    (lambda x: axes.diag_embed(x, 1, 0, 2), lambda x: x.diag_embed(1, 0, 2), X),
    (lambda x: axes.diag_embed(x, 2, 2, 1), lambda x: x.diag_embed(2, 2, 1), X),
    (lambda x: axes.block_diag([x[0], x[1, 0]]), lambda x: torch.block_diag(x[0], x[1, 0]), X),
    (lambda x: axes.unfold(x, 1, 2, 1), lambda x: x.unfold(1, 2, 1), X),
    (lambda x: axes.channel_shuffle(x, 3), lambda x: functional.channel_shuffle(x, 3), X.reshape(1, 6, 2, 2)),
    (lambda x: axes.pixel_shuffle(x, 2), lambda x: functional.pixel_shuffle(x, 2), X.reshape(1, 8, 1, 3)),
    (lambda x: axes.pixel_unshuffle(x, 2), lambda x: functional.pixel_unshuffle(x, 2), X.reshape(1, 1, 4, 6)),
    (lambda x: axes.pad(x, [1, -2, -1, 3], 9), lambda x: functional.pad(x, [1, -2, -1, 3], value=9), X),
    (lambda x: axes.pad_by_index(x, [2, 1], "reflect"), lambda x: functional.pad(x, [2, 1], "reflect"), X),
    (lambda x: axes.pad_by_index(x, [2, 5], "replicate"), lambda x: functional.pad(x, [2, 5], "replicate"), X),
    (lambda x: axes.pad_by_index(x, [3, 2], "circular"), lambda x: functional.pad(x, [3, 2], "circular"), X),
    (lambda x: axes.pad_by_index(x, [3, -1], "circular"), lambda x: functional.pad(x, [3, -1], "circular"), X),
    (lambda x: axes.pad_by_index(x, [-1, 2], "circular"), lambda x: functional.pad(x, [-1, 2], "circular"), X),
    (lambda x: axes.pad_by_index(x, [-1, 2], "reflect"), lambda x: functional.pad(x, [-1, 2], "reflect"), X),
    (lambda x: axes.pad_by_index(x, [2, -1], "replicate"), lambda x: functional.pad(x, [2, -1], "replicate"), X),
    (lambda x: axes.repeat_each(x, mx.array([2, 0, 1]), 1),
     lambda x: x.repeat_interleave(torch.tensor([2, 0, 1]), 1), X),
    (lambda x: axes.argmax(x, 1, True), lambda x: x.argmax(1, True), NAN),
    (lambda x: axes.argmin(x), lambda x: x.argmin(), NAN),
    (lambda x: axes.cumulative_extreme(x, 2, True), lambda x: x.cummax(2), X),
    (lambda x: axes.cumulative_extreme(x, 1, False), lambda x: x.cummin(1), NAN),
    (lambda x: axes.complex_prod(x, 1, False), lambda x: x.prod(1), COMPLEX),
    (lambda x: axes.complex_prod(x, None, False), lambda x: x.prod(), COMPLEX),
    (lambda x: axes.complex_logsumexp(x, 0, False), lambda x: torch.logsumexp(x, 0), COMPLEX),
    (lambda x: axes.moments(x, [0, 2], 1.5, True)[1], lambda x: x.var([0, 2], correction=1.5, keepdim=True), X),
    (lambda x: axes.moments(x, [], 0, False)[1], lambda x: x.var(correction=0), COMPLEX),
    (lambda x: axes.upper_pairs(x), lambda x: x[tuple(torch.triu_indices(4, 4, 1))], torch.arange(16.0).reshape(4, 4)),
    (lambda x: axes.chunk_cat([x[0], x[:, 0]], 0, 2), lambda x: torch._chunk_cat([x[0], x[:, 0]], 0, 2), X),
    (lambda x: axes.resize(x, [5, 6]), lambda x: torch.cat([x.flatten(), torch.zeros(6)]).reshape(5, 6), X),
])  # fmt: skip
def test_agrees_with_torch(ours, theirs, x):
    values, expected = ours(to_mlx(x)), theirs(x)
    pairs = zip(values, expected, strict=True) if isinstance(values, list) else [(values, expected)]
    for value, target in pairs:
        assert tuple(value.shape) == tuple(target.shape)
        np.testing.assert_allclose(to_numpy(value), target.numpy(), rtol=1e-6)


@pytest.mark.parametrize("values, expected", [
    (axes.arange(0, 1, 0.1, mx.float32), torch.arange(0, 1, 0.1)),
    (axes.arange(5, -4, -2, mx.int64), torch.arange(5, -4, -2)),
    (axes.linspace(-1, 2, 7, mx.float32), torch.linspace(-1, 2, 7)),
    (axes.linspace(0, 10, 4, mx.int32), torch.linspace(0, 10, 4, dtype=torch.int32)),
    (axes.logspace(0, 3, 5, 2.0, mx.float32), torch.logspace(0, 3, 5, 2.0)),
    (axes.to_uint8(mx.array([-1.0, 3.7, 300.0])), torch.tensor([255, 3, 44])),
    (axes.triangle_indices(3, 4, 1, True), torch.tril_indices(3, 4, 1)),
    (axes.triangle_indices(3, 2, -1, False), torch.triu_indices(3, 2, -1)),
])  # fmt: skip
def test_new_arrays(values, expected):
    np.testing.assert_allclose(to_numpy(values), expected.numpy(), rtol=1e-6)
