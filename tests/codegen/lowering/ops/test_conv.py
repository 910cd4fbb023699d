"""Convolutions with channels last, and transposes that are not written twice."""

import ast
import itertools

import mlx.core as mx
import numpy as np
import pytest
import torch

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


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("axes, op", [(1, "conv_transpose1d.default"), (2, "conv_transpose2d.input")])
def test_transposed_of_any_groups_and_paddings(axes, op, groups):
    """The right values are torch's, also where the padding is wider than the kernel reaches, which MLX's own shapes."""
    torch.manual_seed(0)
    for kernel, stride, padding, extra, dilation in itertools.product((1, 3), (1, 2), (0, 1), (0, 1), (1, 2)):
        if extra >= max(stride, dilation):
            continue
        x, weight = torch.randn(2, 4, *[6] * axes), torch.randn(4, 8 // groups, *[kernel] * axes)
        settings = dict(stride=stride, padding=padding, output_padding=extra, groups=groups, dilation=dilation)
        expected = getattr(torch.nn.functional, f"conv_transpose{axes}d")(x, weight, **settings)
        lists = {name: value if name == "groups" else [value] * axes for name, value in settings.items()}
        arguments = {"input": mx.array(x.numpy()), "weight": mx.array(weight.numpy())} | lists
        y = lower(f"aten.{op}", {"x" if k == "input" else k: v for k, v in arguments.items()}, None)
        assert y.shape == tuple(expected.shape), settings
        np.testing.assert_allclose(np.array(y), expected.numpy(), atol=1e-5, err_msg=str(settings))


def test_groups_stay_one_call(write):
    source = write(
        "conv_transpose1d.default", None, {"x": mx.zeros([1, 4, 9]), "weight": mx.zeros([4, 1, 3])}, groups=4
    )
    assert source.splitlines()[-1].startswith("mx.conv_transpose1d(") and "groups=4" in source
