"""Variants of a method become one; for each variant its own statements are left, in its own order."""

import ast

import mlx.core as mx
import pytest

from pytorch_to_mlx.codegen.emit.interfaces import mark_call
from pytorch_to_mlx.codegen.emit.merge_methods import merge_methods
from pytorch_to_mlx.codegen.emit.naming import Method
from pytorch_to_mlx.codegen.emit.variants import Condition, Inseparable, negated, sink_shape_reads


def method(source, *args):
    """A method from its statements, the last of which returns. Calls of self.NAME are noted as calls of methods."""
    *statements, last = ast.parse(source).body
    for part in ast.walk(ast.Module([*statements, last], [])):
        if isinstance(part, ast.Call) and ast.unparse(part.func).startswith("self."):
            mark_call(part, ast.unparse(part.func), "__call__")
    results = list(last.value.elts) if isinstance(last.value, ast.Tuple) else [last.value]
    return Method("__call__", list(args), statements, results)


def text(shared):
    return "\n".join(ast.unparse(ast.fix_missing_locations(statement)) for statement in shared.code.statements)


def flag(name, *truth):
    return Condition(ast.Attribute(ast.Name("self"), name), truth, flag=name)


def test_what_differs_stands_behind_the_test_that_tells_variants_apart():
    one, two = method("y = mx.exp(x)\ny = y + 1\ny", "x"), method("y = mx.exp(x)\ny = mx.abs(y)\ny = y + 2\ny", "x")
    shared = merge_methods([one, two], [flag("is_positive", False, True)])
    assert text(shared) == "y = mx.exp(x)\nif self.is_positive:\n    y = mx.abs(y)\ny = y + 2\nreturn y"
    assert [one.flag for one in shared.code.conditions] == ["is_positive"]


def test_a_parameter_that_only_some_take_may_be_left_out():
    one, two = method("f(x)", "x"), method("f(x + mask)", "x", "mask")
    shared = merge_methods([one, two], [])
    assert shared.args == ["x", "mask"] and shared.n_optional == 1
    assert text(shared) == "if mask is None:\n    return f(x)\nelse:\n    return f(x + mask)"
    assert shared.interfaces[0].call(lambda x: [x], [3]) == [[3]]
    assert shared.interfaces[1].call(lambda x, mask: [x, mask], [3, 4]) == [[3, 4]]


def test_a_parameter_that_means_another_is_that_one():
    one = method("k = f(x)\ng(x, k)", "x")
    two = method("k = f(states)\ng(x, k)", "x", "states")
    assert text(merge_methods([one, two], [])) == "if states is None:\n    states = x\nk = f(states)\nreturn g(x, k)"


def test_names_of_variables_do_not_matter():
    one, two = method("a = f(x)\ng(a)", "x"), method("b = f(x)\nc = h(b)\ng(c)", "x")
    shared = merge_methods([one, two], [flag("more", False, True)])
    assert text(shared) == "b = f(x)\nif self.more:\n    c = h(b)\n    return g(c)\nelse:\n    return g(b)"


def test_a_test_of_a_parameter_comes_before_it_is_set():
    """In the first variant `bias` is a variable: after it is set, `bias is None` is false in both."""
    one = method("bias = f(x)\ny = x + bias\ny = -y\ny", "x")
    two = method("y = x + bias\nmx.abs(y)", "x", "bias")
    shared = merge_methods([one, two], [flag("other", False, True)])
    assert text(shared) == (
        "if bias is None:\n    bias = f(x)\ny = x + bias\n"
        "if self.other:\n    return mx.abs(y)\nelse:\n    y = -y\n    return y"
    )
    one, two = method("bias = f(x)\ny = x + bias\ny = -y\ny", "x"), method("y = x + bias\nmx.abs(y)", "x", "bias")
    lines = text(merge_methods([one, two], [])).splitlines()
    assert lines[0] == "if bias is None:" and lines.count("    y = x + bias") == 2  # not tested again


def test_a_result_that_is_a_parameter_of_another_variant_is_returned_by_both():
    one = method("bias = f(x)\n(bias, x + bias)", "x")
    two = method("x + bias", "x", "bias")
    shared = merge_methods([one, two], [])
    assert text(shared) == "if bias is None:\n    bias = f(x)\nreturn (bias, x + bias)"
    assert shared.interfaces[1].slots == [1] and shared.interfaces[1].same == {0: "bias"}
    assert shared.interfaces[1].call(lambda x, bias: (bias, x + bias), [3, 4]) == [7]
    assert shared.interfaces[0].call(lambda x: (1, x), [3]) == [1, 3]


def test_a_missing_argument_of_a_call_is_the_missing_parameter():
    one = method("self.norm(self.attention(x, mask=None))", "x")
    two = method("self.norm(self.attention(x, mask=mask))", "x", "mask")
    assert text(merge_methods([one, two], [])) == "return self.norm(self.attention(x, mask=mask))"


def test_parameters_in_the_order_of_the_original():
    variants = [method("f(x)", "x"), method("f(x, b)", "x", "b"), method("f(x, a)", "x", "a")]
    assert merge_methods(variants, [], ["x", "a", "b"]).args == ["x", "a", "b"]


def test_variants_that_nothing_tells_apart():
    with pytest.raises(Inseparable):
        merge_methods([method("f(x)", "x"), method("g(x)", "x")], [])


def test_shapes_are_read_where_they_are_used():
    source = "length = x.shape[1]\nb, _ = y.shape\nx = f(x, b)\nz = g(length)\nz = h(z)"
    statements = sink_shape_reads(ast.parse(source).body)
    assert [ast.unparse(one) for one in statements] == [
        "(b, _) = y.shape" if ast.unparse(ast.parse("a, b = c")).startswith("(") else "b, _ = y.shape",
        "length = x.shape[1]",  # before x is another array
        "x = f(x, b)",
        "z = g(length)",
        "z = h(z)",
    ]


def test_the_opposite_of_a_test():
    conditions = ["x is None", "kind == 'a'", "self.flag"]
    opposites = [ast.unparse(negated(ast.parse(one, mode="eval").body)) for one in conditions]
    assert opposites == ["x is not None", "kind != 'a'", "not self.flag"]


def test_a_parameter_that_code_sets_anew_keeps_its_name():
    """Later code of that variant reads it by its own name: `x = mx.abs(x)` is not the same as `e = mx.abs(e)` there."""
    one = method("x = mx.abs(x)\ny = q + x\ny", "q", "k", "x")
    two = method("e = mx.abs(e)\ne = e * q\ne", "q", "e")
    source = text(merge_methods([one, two], []))
    scope = {"mx": mx}
    arguments = "q, k=None, x=None, e=None"
    body = "\n".join(f"    {line}" for line in source.splitlines())
    exec(compile(f"def call({arguments}):\n{body}", "merged", "exec"), scope)
    assert scope["call"](mx.array(3), k=1, x=mx.array(-2)).item() == 5
    assert scope["call"](mx.array(3), e=mx.array(-2)).item() == 6
