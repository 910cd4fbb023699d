"""Simplifications keep what a graph computes: each case is the smallest graph that it must and must not change."""

import pytest
from sympy import Symbol
from toy_graph import graph, node

from pytorch_to_mlx.codegen.emit.simplify import simplify
from pytorch_to_mlx.codegen.graph import Frame, Node, Sym


def lines(whole, hints=None):
    """The simplified graph without its inputs, as text without shapes."""
    return [str(item).partition("  #")[0] for item in simplify(whole, hints or {}).nodes if item.op != "input"]


@pytest.mark.parametrize(
    "op, kwargs",
    [
        ("clone.default", {}),
        ("_to_copy.default", {}),
        ("slice.Tensor", {"dim": 0, "start": 0}),
        ("view.default", {"size": [2, 4]}),
        ("expand.default", {"size": [2, 4]}),
        ("add.Tensor", {"other": 0}),
        ("div.Tensor", {"other": 1}),
        ("dropout.default", {"p": 0.5, "train": False}),
    ],
)
def test_an_op_that_repeats_its_input_is_dropped(op, kwargs):
    x = node("x", "input")
    same = node("same", op, x=x, **kwargs)
    assert lines(graph(x, same, node("y", "relu.default", x=same))) == [
        "y = aten.relu.default(x=x)",
        "output = output((y))",
    ]


@pytest.mark.parametrize(
    "op, shape, dtype, kwargs",
    [
        ("_to_copy.default", (2, 4), "float16", {}),
        ("slice.Tensor", (2, 4), "float32", {"dim": 0, "step": 2}),
        ("add.Tensor", (2, 4), "float32", {"other": 1}),
        ("add.Tensor", (2, 4), "float32", {"other": False}),
        ("mul.Tensor", (2, 4), "float32", {"other": 0}),
        ("dropout.default", (2, 4), "float32", {"p": 0.5, "train": True}),
        ("expand.default", (3, 2, 4), "float32", {"size": [3, 2, 4]}),
    ],
)
def test_an_op_that_changes_its_input_stays(op, shape, dtype, kwargs):
    x = node("x", "input")
    y = node("y", op, shape, dtype, x=x, **kwargs)
    assert [item.name for item in simplify(graph(x, y), {}).nodes] == ["x", "y", "output"]


def test_equal_ops_of_one_call_are_one():
    x = node("x", "input")
    first, second = node("first", "exp.default", x=x), node("second", "exp.default", x=x)
    total = node("total", "add.Tensor", x=first, other=second)
    assert lines(graph(x, first, second, total))[-2:] == [
        "total = aten.add.Tensor(x=first, other=first)",
        "output = output((total))",
    ]
    second.stack = (Frame("child", 0, "toys.Child"),)
    total.kwargs = {"x": first, "other": second}
    assert lines(graph(x, first, second, total))[-2] == "total = aten.add.Tensor(x=first, other=second)"


def test_a_chain_of_views_is_one_view():
    x = node("x", "input", (2, 4))
    wide = node("wide", "unsqueeze.default", (2, 1, 4), x=x, dim=1)
    flat = node("flat", "flatten.using_ints", (8,), x=wide)
    assert lines(graph(x, wide, flat)) == ["flat = aten.view.default(x=x, size=[8])", "output = output((flat))"]


def test_nodes_without_use_are_dropped_but_not_those_that_show_a_size_which_is_used():
    x = node("x", "input")
    numbers = [
        Node(name, "aten._local_scalar_dense.default", (), {"x": x}, Sym(Symbol(name))) for name in ("used", "unused")
    ]
    places = node("places", "nonzero.default", (Symbol("count"), 1), "int64", x=x)
    twin = node("twin", "nonzero.default", (Symbol("other"), 1), "int64", x=x)
    y = node("y", "slice.Tensor", (2, 3), x=x, start=Sym(Symbol("used")), end=Sym(Symbol("count")))
    whole = graph(x, node("dead", "exp.default", x=x), *numbers, places, twin, y)
    assert [item.name for item in simplify(whole, {}).nodes] == ["x", "used", "places", "y", "output"]


def test_an_array_of_one_number_becomes_the_number():
    x = node("x", "input")
    two = node("two", "full.default", (), size=[], fill_value=2.0)
    assert lines(graph(x, two, node("y", "mul.Tensor", x=x, other=two)))[0] == "y = aten.mul.Tensor(x=x, other=2.0)"
    wider = node("wider", "full.default", (3, 2, 4), size=[3, 2, 4], fill_value=2.0)
    y = node("y", "mul.Tensor", (3, 2, 4), x=x, other=wider)  # its shape comes from the array
    assert lines(graph(x, wider, y))[-2] == "y = aten.mul.Tensor(x=x, other=wider)"


def test_a_mask_that_is_true_everywhere_is_dropped():
    mask = node("mask", "input", (2, 1, 4), "bool")
    true = node("true", "ones.default", (2, 3, 4), "bool", size=[2, 3, 4])
    both = node("both", "bitwise_and.Tensor", (2, 3, 4), "bool", x=true, other=mask)
    assert lines(graph(mask, true, both))[0] == "both = aten.expand.default(x=mask, size=[2, 3, 4])"
    x = node("x", "input", (2, 3, 4))
    whole = graph(x, true, node("y", "where.self", (2, 3, 4), condition=true, x=x, other=-1.0))
    assert lines(whole) == ["output = output((x))"]


def test_positions_are_not_negative():
    x = node("x", "input", (4,))
    places = node("places", "arange.start_step", (4,), "int64", start=0, end=4)
    mask = node("mask", "ge.Scalar", (4,), "bool", x=places, other=0)
    assert lines(graph(x, places, mask, node("y", "where.self", (4,), condition=mask, x=x, other=0.0))) == [
        "output = output((x))"
    ]
    below = node("mask", "ge.Scalar", (4,), "bool", x=places, other=1)
    y = node("y", "where.self", (4,), condition=below, x=x, other=0.0)
    assert simplify(graph(x, places, below, y), {}).nodes[-2] is y


def attention_graph(repeat_axis):
    """Grouped-query attention as torch writes it: 2 heads of keys and values, each repeated twice."""
    query = node("query", "input", (1, 4, 5, 8))
    nodes = [query]
    for name in ("key", "value"):
        x = node(name, "input", (1, 2, 5, 8))
        split_shape = (1, 2, 1, 5, 8) if repeat_axis == 2 else (1, 1, 2, 5, 8)
        wide_shape = (1, 2, 2, 5, 8)
        split = node(f"{name}_split", "view.default", split_shape, x=x, size=list(split_shape))
        wide = node(f"{name}_wide", "expand.default", wide_shape, x=split, size=list(wide_shape))
        nodes += [x, split, wide, node(f"{name}_all", "view.default", (1, 4, 5, 8), x=wide, size=[1, 4, 5, 8])]
    inputs = dict(query=query, key=nodes[4], value=nodes[8])
    return graph(*nodes, node("y", "scaled_dot_product_attention.default", (1, 4, 5, 8), **inputs))


def test_attention_repeats_heads_itself():
    assert lines(attention_graph(repeat_axis=2))[0].endswith("(query=query, key=key, value=value, enable_gqa=True)")
    # head 0, 1, 0, 1 is not how MLX repeats them
    assert lines(attention_graph(repeat_axis=1))[-2].endswith("(query=query, key=key_all, value=value_all)")


def test_indexing_with_whole_ranges_is_a_view():
    s = Symbol("s0")
    mask = node("mask", "input", (2, s), "bool")
    batch = node("batch", "arange.default", (2,), "int64", end=2)
    column = node("column", "view.default", (2, 1), "int64", x=batch, size=[2, 1])
    places = node("places", "arange.default", (s,), "int64", end=Sym(s))
    y = node("y", "index.Tensor", (2, s), "bool", x=mask, indices=[column, places])
    assert lines(graph(mask, batch, column, places, y), {s: 7})[0] == "y = aten.view.default(x=mask, size=[2, s0])"
    shorter = node("places", "arange.default", (1,), "int64", end=1)
    y = node("y", "index.Tensor", (2, 1), "bool", x=mask, indices=[column, shorter])
    assert lines(graph(mask, batch, column, shorter, y), {s: 7})[-2].startswith("y = aten.index.Tensor")
