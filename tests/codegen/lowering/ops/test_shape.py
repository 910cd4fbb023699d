"""The plainest form of a reshape, a permutation, a split or a padding."""

import ast

import mlx.core as mx
import pytest
import sympy

from pytorch_to_mlx.codegen.graph import Meta
from pytorch_to_mlx.codegen.lowering.recorder import Recorded
from pytorch_to_mlx.codegen.lowering.sizes import as_size

N = sympy.Symbol("n", integer=True, positive=True)
SIZE = as_size(N, {N: 5})


def array(*shape):
    value = mx.zeros([5 if size is SIZE else size for size in shape])
    return Recorded(ast.Name("x"), value, shape)


@pytest.mark.parametrize("old, new, source", [
    ((2, 6), [2, 6], "x"),
    ((2, 6), [2, 1, 6, 1], "mx.expand_dims(x, [1, 3])"),
    ((1, 2, 6), [2, 6], "x.squeeze(0)"),
    ((2, 3, 4), [2, 12], "mx.flatten(x, -2, -1)"),
    ((2, 3, 4, 5), [6, 4, 5], "mx.flatten(x, 0, -3)"),
    ((2, 12), [2, 3, 4], "mx.unflatten(x, -1, [3, 4])"),
    ((2, 6), [3, 4], "x.reshape([3, 4])"),
    ((2, SIZE, 8), [2, SIZE, 2, 4], "mx.unflatten(x, -1, [2, 4])"),
    ((2, SIZE, 8), [2, SIZE, 8], "x"),
    ((2, SIZE, 8), [4, 2, 2, SIZE], "x.reshape([4, 2, 2, -1])"),
])  # fmt: skip
def test_reshapes(write, old, new, source):
    assert write("view.default", Meta(tuple(new), "float32"), {"x": array(*old)}, size=new) == source


@pytest.mark.parametrize("dims, source", [
    ([0, 1, 2], "x"), ([0, 2, 1], "x.transpose(0, 2, 1)"), ([1, 0, 2], "x.swapaxes(0, 1)"),
    ([1, 2, 0], "x.transpose(1, 2, 0)"), ([2, 1, 0], "x.swapaxes(0, 2)"),
])  # fmt: skip
def test_permutations(write, dims, source):
    assert write("permute.default", None, {"x": array(2, 3, 4)}, dims=dims) == source


def test_splits(write):
    assert (
        write("split_with_sizes.default", None, {"x": array(6, 2)}, split_sizes=[2, 2, 2]) == "mx.split(x, 3, axis=0)"
    )
    assert (
        write("split_with_sizes.default", None, {"x": array(6, 2)}, split_sizes=[1, 2, 3])
        == "mx.split(x, [1, 3], axis=0)"
    )


@pytest.mark.parametrize("pad, value, source", [
    ([0, 0], 0, "x"), ([1, 2], 0, "mx.pad(x, [(0, 0), (1, 2)])"),
    ([1, 2, 3, 4], 7, "mx.pad(x, [(3, 4), (1, 2)], constant_values=7)"),
    ([-1, 2], 0, "pad(x, widths=[-1, 2], value=0)"),
])  # fmt: skip
def test_padding(write, pad, value, source):
    assert write("constant_pad_nd.default", Meta((2, 3), "float32"), {"x": array(2, 3)}, pad=pad, value=value) == source
