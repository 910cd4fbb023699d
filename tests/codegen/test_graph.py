"""Nodes, trees of values, and how they print."""

import mlx.core as mx
import pytest

from pytorch_to_mlx.codegen.graph import Frame, Graph, Line, Meta, Node, Unsupported, leaves, transform


def small() -> Graph:
    x = Node("x", "input", meta=Meta((2, 3), "float32"))
    double = Node("double", "aten.add.Tensor", (), {"x": x, "other": x}, Meta((2, 3), "float32"))
    output = Node("output", "output", ((double, [x, 1.5]),))
    return Graph([x, double, output])


def test_who_reads_whom():
    graph = small()
    x, double, output = graph.nodes
    assert graph.inputs() == [x] and graph.output is output
    assert list(double.inputs()) == [x, x]
    assert graph.users() == {x: [double, output], double: [output], output: []}


def test_it_prints_itself():
    assert str(small()).splitlines() == [
        "x = input()  # float32[2, 3]",
        "double = aten.add.Tensor(x=x, other=x)  # float32[2, 3]",
        "output = output((double, [x, 1.5]))",
    ]


def test_trees_of_values():
    tree = {"a": (1, [2, "three"]), "b": 4.0}
    assert list(leaves(tree, int)) == [1, 2]
    assert transform(tree, (int, float), lambda number: -number) == {"a": (-1, [-2, "three"]), "b": -4.0}


def test_a_dtype_that_mlx_lacks():
    assert Meta((), "bfloat16").dtype == mx.bfloat16
    with pytest.raises(Unsupported, match="complex128 does not exist in MLX"):
        _ = Meta((), "complex128").dtype


def test_an_error_gets_the_place_of_its_node_once():
    node = Node("y", "aten.rand.default", stack=(Frame("layers.0", 0, "Block"),), trace=(Line("net.py", 7),))
    error = Unsupported("it is random", fix="pass it in").at(node)
    assert (error.where, error.fix) == ("net.py:7 (in module layers.0)", "pass it in")
    assert error.at(Node("z", "output")) is error
    assert Unsupported("it is random").at(Node("z", "output")).where == "z"
