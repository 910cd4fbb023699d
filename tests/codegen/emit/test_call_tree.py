"""The tree of module calls, and what goes in and out of each."""

from sympy import Symbol
from toy_graph import calls, graph, node, weight

from pytorch_to_mlx.codegen.emit.call_tree import (
    call_tree,
    connect,
    foreign_calls,
    hoist_views,
    inline_calls,
    trivial_calls,
)
from pytorch_to_mlx.codegen.graph import Frame, Node, Sym


def names(root):
    """Path, inputs and outputs of every call."""
    return [(c.path, [n.name for n in c.inputs], [n.name for n in c.outputs]) for c in root.calls()]


def test_calls_lie_in_each_other():
    x = node("x", "input")
    a = node("a", "exp.default", path="block", x=x)
    b = node("b", "exp.default", path="block.norm", x=a)
    c = node("c", "exp.default", path="block", x=b)
    d = node("d", "exp.default", x=c)
    root = calls(graph(x, a, b, c, d))
    assert names(root) == [("", ["x"], ["d"]), ("block", ["x"], ["c"]), ("block.norm", ["a"], ["b"])]


def test_a_module_may_be_called_twice():
    x = node("x", "input")
    a, b = node("a", "exp.default", path="norm", x=x), node("b", "exp.default", path="norm")
    b.kwargs, b.stack = {"x": a}, (Frame("norm", 1, "toys.Norm"),)
    assert [(c.path, c.number) for c in calls(graph(x, a, b)).calls()] == [("", 0), ("norm", 0), ("norm", 1)]


def test_what_torch_records_late_belongs_to_the_caller():
    x = node("x", "input")
    a = node("a", "exp.default", path="norm", x=x)
    b = node("b", "exp.default", x=a)
    late = node("late", "exp.default", path="norm", x=b)
    root = calls(graph(x, a, b, late))
    assert [item if isinstance(item, Node) else item.path for item in root.items] == ["norm", b, late]


def test_weights_of_a_call_are_no_inputs():
    x = node("x", "input")
    own, shared = weight("norm.weight"), weight("scale")
    a = node("a", "mul.Tensor", path="norm", x=x, other=own)
    b = node("b", "mul.Tensor", path="norm", x=a, other=shared)
    root = calls(graph(x, own, shared, a, b))
    assert names(root)[1] == ("norm", ["x", "scale"], ["b"])


def test_a_number_from_data_leaves_the_call_for_a_size():
    x, size = node("x", "input"), Symbol("u0")
    count = Node("count", "aten._local_scalar_dense.default", (), {"x": x}, Sym(size), (Frame("a", 0, "toys.A"),))
    y = node("y", "new_zeros.default", (size,), path="b", x=x, size=[Sym(size)])
    assert names(calls(graph(x, count, y)))[1] == ("a", ["x"], ["count"])


def test_a_view_before_a_layer_goes_to_the_caller():
    x, w = node("x", "input"), weight("proj.weight", (4, 4))
    view = node("view", "view.default", path="proj", x=x, size=[2, 4])
    y = node("y", "linear.default", path="proj", x=view, weight=w)
    view.stack = y.stack = (Frame("proj", 0, "torch.nn.modules.linear.Linear"),)
    whole = graph(x, w, view, y)
    root = call_tree(whole, "toys.Root")
    hoist_views(root)
    connect(root, whole)
    assert root.items[0] is view and root.items[1].items == [y] and root.items[1].inputs == [view]


def test_small_modules_without_weights_need_no_class():
    x, w = node("x", "input"), weight("norm.weight")
    small = node("small", "exp.default", path="small", x=x)
    normed = node("normed", "mul.Tensor", path="norm", x=small, other=w)
    large = [node(f"large{i}", "exp.default", path="large", x=normed) for i in range(4)]
    root = calls(graph(x, w, small, normed, *large))
    trivial = trivial_calls(root)
    assert [call.path for call in trivial] == ["small"]
    inline_calls(root, trivial)
    assert [item if isinstance(item, Node) else item.path for item in root.items] == [small, "norm", "large"]


def test_a_module_that_is_handed_to_another_is_foreign():
    x = node("x", "input")
    own = node("own", "exp.default", path="inner.norm", x=x)
    handed = node("handed", "exp.default", x=own)
    handed.stack = (Frame("inner", 0, "toys.Inner"), Frame("norm", 0, "toys.Norm"), Frame("norm.sub", 0, "toys.Sub"))
    root = calls(graph(x, own, handed))
    assert sorted(call.path for call in foreign_calls(root)) == ["norm", "norm.sub"]
