"""Which values get a variable, and what placeholders know."""

import ast

import mlx.core as mx
from sympy import Symbol
from toy_graph import calls, graph, node, write

from pytorch_to_mlx.codegen.emit.scope import array_literal, channels_last_meta, placeholder, stand_in
from pytorch_to_mlx.codegen.graph import Meta, Node, Sym


def test_a_value_that_is_used_twice_has_a_variable():
    x = node("x", "input")
    y = node("y", "exp.default", x=x)
    assert write(calls(graph(x, y, node("z", "mul.Tensor", x=y, other=y)))) == ["exp = mx.exp(x)", "exp * exp"]


def test_a_long_expression_has_a_line_of_its_own():
    x = node("x", "input")
    nodes = [x]
    for i in range(12):
        nodes.append(node(f"y{i}", "sigmoid.default", x=nodes[-1]))
    source = write(calls(graph(*nodes)))
    assert len(source) > 1 and all(len(line) < 100 for line in source)


def test_unused_parts_of_a_result_have_no_name():
    x = node("x", "input", (4, 6))
    whole = Node("whole", "aten.topk.default", (), {"x": x, "k": 2}, [Meta((4, 2), "float32"), Meta((4, 2), "int64")])
    places = Node("places", "getitem", (whole, 1), meta=Meta((4, 2), "int64"))
    source = write(calls(graph(x, whole, places)))
    assert source[-2].startswith("_, ") and source[-1] in source[-2]


def test_a_size_from_data_is_read_where_it_shows_first():
    u = Symbol("u0")
    x = node("x", "input", (4,), "bool")
    rows = node("rows", "nonzero.default", (u, 1), "int64", x=x)
    y = node("y", "new_zeros.default", (u,), "int64", x=rows, size=[Sym(u)])
    source = write(calls(graph(x, rows, y)))
    assert source[:2] == ["nonzero_2 = nonzero(x)", "size = nonzero_2.shape[0]"] and "size" in source[2]


def test_placeholders_know_dtype_and_shape():
    s = Symbol("s0")
    value = placeholder(Meta((2, s), "float16"), ast.Name("x"), {s: 7})
    assert value.dtype == mx.float16 and value.value.shape == (2, 7) and value.shape[0] == 2
    assert ast.unparse(value.shape[1].tree) == "$s0" and value.shape[1].value == 7
    parts = placeholder([Meta((2,), "float32"), Meta((3,), "int32")], ast.Name("x"), {})
    assert [ast.unparse(part.tree) for part in parts] == ["x[0]", "x[1]"] and parts[1].dtype == mx.int32


def test_metas():
    assert channels_last_meta(Meta((1, 2, 3, 4), "float32")).shape == (1, 3, 4, 2)
    assert stand_in(Meta((100000, 100000), "bfloat16")).shape == (100000, 100000)


def test_array_literals_keep_the_dtype():
    def text(array):
        return ast.unparse(ast.fix_missing_locations(array_literal(array).tree))

    assert text(mx.array([[1, 2]])) == "mx.array([[1, 2]])"
    assert text(mx.array([1.5], dtype=mx.float16)) == "mx.array([1.5], dtype=mx.float16)"
    assert text(mx.array([3], dtype=mx.int64)) == "mx.array([3], dtype=mx.int64)"
