"""The source of single ops: in the body, in __init__, and with channels last."""

import mlx.core as mx
import pytest
from sympy import Symbol
from toy_graph import calls, graph, node, weight, write

from pytorch_to_mlx.codegen.emit.layers import Layer
from pytorch_to_mlx.codegen.graph import Node, Sym, Unsupported


def constant(array, name="number"):
    return Node(name, "constant", (array,), meta=node("like", "input", tuple(array.shape)).meta)


def test_an_op_is_its_lowering():
    x = node("x", "input")
    y = node("y", "mul.Tensor", x=node("z", "exp.default", x=x), other=2)
    assert write(calls(graph(x, y.kwargs["x"], y))) == ["mx.exp(x) * 2"]


def test_an_op_without_a_form_is_an_error_with_its_place():
    x = node("x", "input")
    y = node("y", "no_such_op.default", path="block", x=x)
    with pytest.raises(Unsupported, match=r"in module block\).*no_such_op"):
        write(calls(graph(x, y)))


def test_a_constant_without_axes_is_a_number():
    x, half = node("x", "input"), constant(mx.array(0.5))
    assert write(calls(graph(x, half, node("y", "add.Tensor", x=x, other=half)))) == ["x + 0.5"]


def test_a_constant_with_axes_is_an_attribute():
    x, table = node("x", "input"), constant(mx.array([1.0, 2.0, 3.0, 4.0]))
    assert write(calls(graph(x, table, node("y", "add.Tensor", x=x, other=table)))) == [
        "_x = mx.array([1.0, 2.0, 3.0, 4.0])",
        "x + self._x",
    ]


def test_ops_of_constants_are_computed_in_init():
    x = node("x", "input", (4,))
    places = node("places", "arange.default", (4,), "int64", end=4)
    doubled = node("doubled", "mul.Tensor", (4,), "int64", x=places, other=2)
    source = write(calls(graph(x, places, doubled, node("y", "add.Tensor", (4,), x=x, other=doubled))))
    assert len(source) == 2 and source[0].startswith("_x = mx.arange(") and source[0].endswith(" * 2")
    assert source[1] == "x + self._x.astype(mx.float32)"


def test_ops_of_dynamic_sizes_are_not():
    s = Symbol("s0")
    x = node("x", "input", (s,))
    places = node("places", "arange.default", (s,), "int64", end=Sym(s))
    source = write(calls(graph(x, places, node("y", "add.Tensor", (s,), x=x, other=places))), hints={s: 5})
    assert source[0] == "length = x.shape[0]" and "mx.arange(" in source[1] and "length" in source[1]


def test_a_projection_by_an_embedding():
    x, table = node("x", "input"), weight("embed.weight", (10, 4))
    whole = graph(x, table, node("y", "linear.default", (2, 10), x=x, weight=table))
    assert write(calls(whole), {"embed": Layer("Embedding", (10, 4))}) == ["self.embed.as_linear(x)"]
    assert write(calls(whole)) == ["x @ self.embed.weight.T"]


def test_a_weight_in_mlx_layout_is_turned_back():
    x, kernel = node("x", "input", (6, 4, 3)), weight("conv.weight", (6, 4, 3))
    layers = {"conv": Layer("Conv1d", (4, 6, 3), layouts={"weight": (0, 2, 1)})}
    whole = graph(x, kernel, node("y", "mul.Tensor", (6, 4, 3), x=x, other=kernel))
    assert write(calls(whole), layers) == ["x * self.conv.weight.transpose(0, 2, 1)"]


def test_elementwise_ops_stay_in_the_order_of_convolutions():
    x = node("x", "input", (1, 4, 9))
    names = ("first", "second")
    kernels = {name: weight(f"{name}.weight", (4, 4, 3)) for name in names}
    layer = Layer("Conv1d", (4, 4, 3), {"padding": 1}, {"weight": (0, 2, 1)}, channels_last=True)
    first = node("a", "conv1d.default", (1, 4, 9), path="first", x=x, weight=kernels["first"], padding=[1])
    active = node("b", "silu.default", (1, 4, 9), x=first)
    second = node("c", "conv1d.default", (1, 4, 9), path="second", x=active, weight=kernels["second"], padding=[1])
    root = calls(graph(x, *kernels.values(), first, active, second))
    (source,) = write(root, dict.fromkeys(names, layer))
    assert source.count("swapaxes") + source.count("transpose") + source.count("moveaxis") == 2  # in and out
    assert "self.second(nn.silu(self.first(" in source
