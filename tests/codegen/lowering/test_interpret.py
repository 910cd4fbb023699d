"""A graph run node by node on MLX."""

import mlx.core as mx
import pytest
import sympy

from pytorch_to_mlx.codegen.graph import Frame, Graph, Line, Meta, Node, Sym, Unsupported
from pytorch_to_mlx.codegen.lowering.interpret import evaluate, learn_sizes, resolve, run

LENGTH = sympy.Symbol("s0", integer=True, positive=True)


def with_output(*nodes, result=None):
    return Graph([*nodes, Node("output", "output", (nodes[-1] if result is None else result,))])


def test_sizes_are_read_from_the_inputs():
    x = Node("x", "input", meta=Meta((LENGTH,), "float32"))
    weight = Node("weight", "weight", ("scale.weight",), meta=Meta((), "float32"))
    scaled = Node("scaled", "aten.mul.Tensor", (), {"x": x, "other": weight}, Meta((LENGTH,), "float32"))
    arguments = {"x": scaled, "size": [Sym(2 * LENGTH)], "fill_value": Sym(LENGTH - 1)}
    filled = Node("filled", "aten.new_full.default", (), arguments, Meta((2 * LENGTH,), "float32"))
    seen = {}
    result = run(
        with_output(x, weight, scaled, filled, result=[scaled, filled]),
        [mx.array([1.0, 2.0, 3.0])],
        {"scale.weight": mx.array(10.0)},
        watch=lambda node, value: seen.update({node.name: value}),
    )
    assert [part.tolist() for part in result] == [[10, 20, 30], [2.0] * 6]
    assert list(seen) == ["x", "weight", "scaled", "filled"]


def test_an_error_names_the_line_of_the_original():
    x = Node("x", "input", meta=Meta((2,), "float32"))
    place = {"stack": (Frame("noise", 0, "Noise"),), "trace": (Line("net.py", 9),)}
    y = Node("y", "aten.rand_like.default", (), {"x": x}, Meta((2,), "float32"), **place)
    with pytest.raises(Unsupported, match=r"net\.py:9 \(in module noise\): .*random"):
        run(with_output(x, y), [mx.zeros([2])])


def test_what_stays_unknown():
    sizes = {}
    learn_sizes([Meta((LENGTH, 2), "float32")], [mx.zeros([5, 2])], sizes)
    assert sizes == {LENGTH: 5}
    other = sympy.Symbol("u0", integer=True)
    assert resolve(Meta((LENGTH + 1, other, 3), "int8"), sizes).shape == (6, other, 3)
    assert evaluate(Sym(LENGTH / 2), sizes) == 2.5
    with pytest.raises(Unsupported, match="u0 depends on data"):
        evaluate(Sym(other), sizes)
