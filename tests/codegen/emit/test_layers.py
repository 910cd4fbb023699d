"""A call is a layer of mlx.nn only if the layer computes exactly the same."""

import mlx.core as mx
import numpy as np
import pytest
import torch
from mlx import nn
from toy_graph import call, node, weight

from pytorch_to_mlx.codegen.emit.layers import Layer, find_layers, match_layer


def layer_call(op, x_shape=(2, 4), path="layer", **kwargs):
    """A call that runs one op on its input. kwargs: shapes of weights as tuples in a list, all else as it is."""
    x = node("x", "input", x_shape)
    arguments = {k: weight(f"{path}.{k}", *v) if isinstance(v, list) and k != "dim" else v for k, v in kwargs.items()}
    return call(path, node("y", op, x_shape, x=x, **arguments), inputs=(x,))


def match(op, x_shape=(2, 4), **kwargs):
    return match_layer(layer_call(op, x_shape, **kwargs))


def test_linear():
    assert match("linear.default", weight=[(3, 4)], bias=[(3,)]) == Layer("Linear", (4, 3))
    assert match("linear.default", weight=[(3, 4)]) == Layer("Linear", (4, 3), {"bias": False})


def test_a_weight_of_another_module_is_no_layer():
    whole = layer_call("linear.default", weight=[(3, 4)])
    assert match_layer(whole) == Layer("Linear", (4, 3), {"bias": False})
    whole.items[0].kwargs["weight"] = weight("other.weight", (3, 4))
    assert match_layer(whole) is None


def test_only_a_single_op_with_one_input_and_output_is_a_layer():
    whole = layer_call("linear.default", weight=[(3, 4)])
    y = whole.items[0]
    after = node("after", "relu.default", x=y)
    assert match_layer(call("layer", y, after, inputs=tuple(whole.inputs))) is None
    whole.inputs.append(node("z", "input"))
    assert match_layer(whole) is None


def test_embedding():
    x = node("ids", "input", (2, 5), "int64")
    y = node("y", "embedding.default", (2, 5, 8), weight=weight("layer.weight", (10, 8)), indices=x)
    assert match_layer(call("layer", y, inputs=(x,))) == Layer("Embedding", (10, 8))


def test_norms():
    affine = {"weight": [(4,)], "bias": [(4,)]}
    assert match("layer_norm.default", normalized_shape=(4,), **affine) == Layer("LayerNorm", (4,))
    bare = match("layer_norm.default", normalized_shape=(4,), eps=1e-6)
    assert bare == Layer("LayerNorm", (4,), {"eps": 1e-6, "affine": False})
    assert match("layer_norm.default", normalized_shape=(4,), weight=[(4,)]).options == {"bias": False}
    assert match("layer_norm.default", normalized_shape=(4,), bias=[(4,)]) is None
    assert match("layer_norm.default", normalized_shape=(2, 4)) is None
    assert match("rms_norm.default", normalized_shape=(4,), weight=[(4,)], eps=1e-5) == Layer("RMSNorm", (4,))
    assert match("rms_norm.default", normalized_shape=(4,), weight=[(4,)]) is None  # torch's eps: of the dtype
    group = match("group_norm.default", (2, 4, 5), num_groups=2, **affine)
    assert group == Layer("GroupNorm", (2, 4), {"pytorch_compatible": True}, channels_last=True)
    statistics = {"running_mean": [(4,)], "running_var": [(4,)], "training": False, "eps": 1e-5}
    batch = match("batch_norm.default", (2, 4, 5), **affine, **statistics)
    assert batch == Layer("BatchNorm", (4,), channels_last=True)
    assert match("batch_norm.default", (2, 4), **affine, **statistics) == Layer("BatchNorm", (4,))
    assert match("batch_norm.default", (2, 4, 5), **affine, **(statistics | {"training": True})) is None
    assert match("batch_norm.default", (2, 4, 5, 6, 7), **affine, **statistics) is None


def rms_norm_call(exponent=2, dtype="float32", dim=(-1,)):
    x = node("x", "input", (2, 4), dtype)
    square = node("square", "pow.Tensor_Scalar", (2, 4), dtype, x=x, exponent=exponent)
    mean = node("mean", "mean.dim", (2, 1), dtype, **{"x": square, "dim": list(dim), "keepdim": True})
    shifted = node("shifted", "add.Tensor", (2, 1), dtype, x=mean, other=1e-6)
    scale = node("scale", "rsqrt.default", (2, 1), dtype, x=shifted)
    normed = node("normed", "mul.Tensor", (2, 4), dtype, x=x, other=scale)
    result = node("result", "mul.Tensor", (2, 4), dtype, x=weight("norm.weight"), other=normed)
    return call("norm", square, mean, shifted, scale, normed, result, inputs=(x,))


def test_rms_norm_that_is_spelled_out():
    assert match_layer(rms_norm_call()) == Layer("RMSNorm", (4,), {"eps": 1e-6})
    assert match_layer(rms_norm_call(exponent=3)) is None
    assert match_layer(rms_norm_call(dtype="float16")) is None  # MLX computes it in float32
    assert match_layer(rms_norm_call(dim=(-2,))) is None


@pytest.mark.parametrize(
    "kwargs, options",
    [
        ({}, {"bias": False}),
        ({"stride": [2], "padding": [1]}, {"stride": 2, "padding": 1, "bias": False}),
        ({"padding": "same", "dilation": [2]}, {"padding": 2, "dilation": 2, "bias": False}),
        ({"padding": "valid", "groups": 2}, {"groups": 2, "bias": False}),
    ],
)
def test_conv_computes_the_same(kwargs, options):
    groups = kwargs.get("groups", 1)
    op = "conv1d.padding" if isinstance(kwargs.get("padding"), str) else "conv1d.default"
    x = node("x", "input", (2, 4, 9))
    y = node("y", op, (2, 6, 9), x=x, weight=weight("layer.weight", (6, 4 // groups, 3)), **kwargs)
    layer = match_layer(call("layer", y, inputs=(x,)))
    assert (layer.args, layer.options, layer.channels_last) == ((4, 6, 3), options, True)
    array, kernel = torch.randn(2, 4, 9), torch.randn(6, 4 // groups, 3)
    ours = nn.Conv1d(*layer.args, **layer.options)
    ours.weight = mx.array(kernel.permute(layer.layouts["weight"]).numpy())
    theirs = torch.nn.functional.conv1d(array, kernel, **kwargs)
    result = np.array(ours(mx.array(array.numpy()).transpose(0, 2, 1)).transpose(0, 2, 1))
    np.testing.assert_allclose(result, theirs.numpy(), rtol=1e-5, atol=1e-5)


def test_conv_that_mlx_has_not():
    assert match("conv1d.padding", (2, 4, 9), weight=[(6, 4, 4)], padding="same") is None  # more on one side
    assert match("conv3d.default", (2, 4, 5, 5, 5), weight=[(6, 2, 3, 3, 3)], groups=2) is None
    assert match("conv1d.default", (4, 9), weight=[(6, 4, 3)]) is None  # without a batch


def test_conv_transpose():
    layer = match("conv_transpose1d.default", (2, 4, 9), weight=[(4, 6, 3)], stride=2, output_padding=1)
    assert layer.args == (4, 6, 3) and layer.options == {"stride": 2, "output_padding": 1, "bias": False}
    assert layer.layouts == {"weight": (1, 2, 0)}
    assert match("conv_transpose1d.default", (2, 4, 9), weight=[(4, 6, 3)], stride=2, output_padding=2) is None
    assert match("conv_transpose1d.default", (2, 4, 9), weight=[(4, 3, 3)], groups=2) is None


def test_a_module_is_a_layer_if_all_its_calls_are():
    root = call("", node("z", "exp.default"))
    linear = layer_call("linear.default", weight=[(3, 4)])
    root.items = [linear, layer_call("linear.default", weight=[(3, 4)])]
    assert find_layers([root]) == {"layer": Layer("Linear", (4, 3), {"bias": False})}
    root.items.append(call("layer", node("y", "exp.default"), inputs=(node("x", "input"),)))
    assert find_layers([root]) == {}
