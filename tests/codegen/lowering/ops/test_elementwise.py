"""Powers, integers and Booleans, in the form that torch computes."""

import ast

import mlx.core as mx
import pytest

from pytorch_to_mlx.codegen.graph import Meta
from pytorch_to_mlx.codegen.lowering.ops import lower
from pytorch_to_mlx.codegen.lowering.recorder import Recorded

FLOAT, INT, BOOL = (Meta((2,), name) for name in ("float32", "int32", "bool"))
X = mx.zeros([2])


@pytest.mark.parametrize("exponent, source", [
    (2, "mx.square(x + 1)"), (0.5, "mx.sqrt(x + 1)"), (-0.5, "mx.rsqrt(x + 1)"), (-1, "mx.reciprocal(x + 1)"),
    (4, "mx.power(x + 1, 4.0)"), (3, "x__1 = x + 1\nmx.square(x__1) * x__1"),
])  # fmt: skip
def test_powers(write, exponent, source):
    assert write("pow.Tensor_Scalar", FLOAT, {"x": Recorded(ast.Name("x"), X) + 1}, exponent=exponent) == source


@pytest.mark.parametrize("op, arguments, result, source", [
    ("add.Tensor", {"other": 2, "alpha": 3}, FLOAT, "x + 6"),
    ("add.Tensor", {"other": 2}, FLOAT, "x + 2"),
    ("mul.Tensor", {"other": 2}, INT, "x.astype(mx.int32) * 2"),
    ("clamp.default", {"min": 0}, FLOAT, "mx.maximum(x, 0)"),
    ("div.Tensor_mode", {"other": 2, "rounding_mode": "trunc"}, FLOAT, "mx.trunc(x / 2)"),
    ("div.Tensor_mode", {"other": 2, "rounding_mode": "floor"}, FLOAT, "floor_divide(x, y=2)"),
    ("eq.Scalar", {"other": 1}, BOOL, "x == 1"),
    ("logical_not.default", {}, BOOL, "mx.logical_not(x.astype(mx.bool_))"),
])  # fmt: skip
def test_source(write, op, arguments, result, source):
    assert write(op, result, {"x": X}, **arguments) == source


def test_integers_and_booleans():
    x, y = mx.array([-7, 7]), mx.array([2, -2])
    assert lower("aten.div.Tensor_mode", {"x": x, "other": y, "rounding_mode": "trunc"}, INT).tolist() == [-3, -3]
    assert lower("aten.floor_divide.default", {"x": x, "other": y}, INT).tolist() == [-4, -4]
    yes = mx.array([True, False])
    assert lower("aten.mul.Tensor", {"x": yes, "other": yes}, BOOL).tolist() == [True, False]
    assert lower("aten.bitwise_not.default", {"x": yes}, BOOL).tolist() == [False, True]
    assert lower("aten.round.default", {"x": mx.array([0.5, 1.5])}, FLOAT).tolist() == [0, 2]
