"""Dtype and shape helpers of lowerings."""

import ast

import mlx.core as mx
import pytest

from pytorch_to_mlx.codegen.graph import Unsupported
from pytorch_to_mlx.codegen.lowering.ops import types
from pytorch_to_mlx.codegen.lowering.recorder import Recorded

X = mx.zeros([2, 3])
RECORDED = Recorded(ast.Name("x"), X)
SIZE = RECORDED.shape[0]


def test_arrays_and_sizes():
    assert [types.is_array(item) for item in (X, RECORDED, SIZE, 3)] == [True, True, False, False]
    assert [types.is_static(item) for item in (3, SIZE)] == [True, False]
    assert types.numel((2, 3, 4)) == 24 and ast.unparse(types.numel((SIZE, 4)).tree) == "1 * x.shape[0] * 4"


def test_casts():
    assert types.to(X, mx.float32) is X and types.to(X, mx.int8).dtype == mx.int8
    assert types.to(2, mx.int8) == 2 and types.to(SIZE, mx.int8) is SIZE
    types.real_only(X, None)
    with pytest.raises(Unsupported, match="complex input"):
        types.real_only(X, X.astype(mx.complex64))


def test_axes():
    assert (types.axis_of(-1, 3), types.axis_of(0, 0)) == (2, 0)
    assert types.axes_of(None, 2) == types.axes_of([], 2) == [0, 1]
    assert types.axes_of([-1, 0], 3) == [2, 0] and types.axes_of(1, 3) == [1] and types.axes_of(0, 0) == []
    assert types.pair(3, 2) == types.pair([3], 2) == (3, 3) and types.pair((1, 2), 2) == (1, 2)
