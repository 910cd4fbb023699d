"""The source of calls of children: what they are given, and where their results go."""

from sympy import Symbol
from toy_graph import calls, graph, node, weight, write

from pytorch_to_mlx.codegen.emit.layers import Layer
from pytorch_to_mlx.codegen.graph import Frame, Sym


def test_a_layer_is_called_with_channels_where_it_wants_them():
    x = node("x", "input", (2, 4, 9))
    y = node("y", "group_norm.default", (2, 4, 9), path="norm", x=x, num_groups=2)
    root = calls(graph(x, y))
    layer = Layer("GroupNorm", (2, 4))
    assert write(root, {"norm": layer}) == ["self.norm(x)"]
    (source,) = write(root, {"norm": Layer("GroupNorm", (2, 4), channels_last=True)})
    assert source.startswith("self.norm(x.") and source.count("(0, 2, 1)") + source.count("(1, 2)") == 2


def test_several_results_are_unpacked():
    x = node("x", "input")
    a, b = (node(name, f"{name}.default", path="block", x=x) for name in ("exp", "sin"))
    root = calls(graph(x, a, b, node("y", "mul.Tensor", x=a, other=b)))
    assert write(root) == ["exp, sin = self.block(x)", "exp * sin"]
    assert write(root.items[0]) == ["mx.exp(x)", "mx.sin(x)"]


def test_a_child_is_given_the_sizes_that_its_arguments_do_not_show():
    s = Symbol("s0")
    x, w = node("x", "input", (s, 3)), weight("block.scale", (1,))
    y = node("y", "new_zeros.default", (s,), path="block", x=w, size=[Sym(s)])
    z = node("z", "add.Tensor", (s,), path="block", x=y, other=w)
    root = calls(graph(x, w, y, z, outputs=(x, z)))
    root.outputs = [z]
    assert write(root, hints={s: 5}) == ["batch = x.shape[0]", "self.block(batch)"]


def test_arguments_and_results_of_list_items_are_plain_names():
    x = node("x", "input")
    doubled = node("doubled", "mul.Tensor", x=x, other=2)
    y = node("y", "exp.default", x=doubled)
    y.stack = (Frame("blocks.0", 0, "toys.Block"),)
    assert write(calls(graph(x, doubled, y))) == ["x = x * 2", "exp = self.blocks[0](x)", "exp"]
