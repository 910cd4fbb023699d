"""Convolutions with channels last, and transposes that are not written twice."""

import ast

import mlx.core as mx
import pytest

from pytorch_to_mlx.codegen.graph import Meta, Unsupported
from pytorch_to_mlx.codegen.lowering.ops import lower
from pytorch_to_mlx.codegen.lowering.ops.conv import channels_first, channels_last
from pytorch_to_mlx.codegen.lowering.recorder import Recorded

X, WEIGHT = mx.zeros([1, 4, 9, 9]), mx.zeros([8, 4, 3, 3])


def test_channels_go_last_and_come_back():
    x = mx.arange(24).reshape(2, 3, 4)
    assert channels_last(x).tolist() == x.swapaxes(1, 2).tolist()
    assert mx.array_equal(channels_first(channels_last(x)), x)


@pytest.mark.parametrize("arguments, call", [
    ({}, "mx.conv2d(x.transpose(0, 2, 3, 1), weight.transpose(0, 2, 3, 1))"),
    ({"stride": [2, 2], "padding": [1, 0]},
     "mx.conv2d(x.transpose(0, 2, 3, 1), weight.transpose(0, 2, 3, 1), stride=2, padding=(1, 0))"),
])  # fmt: skip
def test_only_what_differs_from_the_defaults_is_written(write, arguments, call):
    source = write("conv2d.default", None, {"x": X, "weight": WEIGHT}, **arguments)
    assert source == f"{call}.transpose(0, 3, 1, 2)"


def test_two_in_a_row_stay_channels_last(write):
    x = channels_first(Recorded(ast.Name("y"), X.transpose(0, 2, 3, 1)))
    source = write("conv2d.default", None, {"x": x, "weight": WEIGHT})
    assert source == "mx.conv2d(y, weight.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)"


def test_uneven_same_padding():
    x, weight = mx.arange(4.0).reshape(1, 1, 4), mx.ones([1, 1, 2])
    y = lower("aten.conv1d.padding", {"x": x, "weight": weight, "padding": "same"}, Meta((1, 1, 4), "float32"))
    assert y.tolist() == [[[1, 3, 5, 3]]]  # torch pads the end


def test_complex_numbers_are_refused():
    with pytest.raises(Unsupported, match="complex"):
        lower("aten.conv2d.default", {"x": X.astype(mx.complex64), "weight": WEIGHT}, None)
