"""Where dynamic sizes are read: the first argument that shows them, solved if need be, else a parameter."""

import ast

import pytest
from sympy import Symbol
from toy_graph import call, node

from pytorch_to_mlx.codegen.emit.draft import Draft
from pytorch_to_mlx.codegen.emit.size_reads import order_sums, read_shape, read_sizes, solve

S0, S1 = Symbol("s0"), Symbol("s1")


def text(tree):
    return ast.unparse(ast.fix_missing_locations(tree)).replace("%", "v").replace("$", "")


def draft_of(shapes, *sizes):
    """A draft with an argument for each shape, whose results are sizes."""
    inputs = tuple(node(f"x{i}", "input", shape) for i, shape in enumerate(shapes))
    draft = Draft(call("", node("y", "exp.default"), inputs=inputs))
    draft.args = [draft.fresh_name("x") for _ in shapes]
    draft.results = [ast.Name(f"${size}") for size in sizes]
    return draft


def test_sizes_of_one_argument_are_read_together():
    draft = draft_of([(2, S0, S1)], S1, S0)
    read_sizes(draft, set())
    assert [text(statement) for statement in draft.statements] == ["_, s0, s1 = v1.shape"]
    assert draft.sizes == [] and draft.suggestions["$s0"] == "length" and draft.suggestions["$s1"] == "width"


def test_arguments_are_read_in_order_and_as_far_as_needed():
    draft = draft_of([(2, S0), (S1, 3, 4)], S1, S0)
    read_sizes(draft, set())
    assert [text(statement) for statement in draft.statements] == ["s0 = v1.shape[1]", "s1 = v2.shape[0]"]
    assert text(read_shape("x", {0: "a", 1: "b"}, 3)) == "a, b = x.shape[:2]"


def test_an_axis_itself_comes_before_a_solution():
    draft = draft_of([(2 * S0,), (S0,)], S0)
    read_sizes(draft, set())
    assert [text(statement) for statement in draft.statements] == ["s0 = v2.shape[0]"]
    draft = draft_of([(2 * S0,)], S0)
    read_sizes(draft, set())
    assert [text(statement) for statement in draft.statements] == ["s0 = v1.shape[0] // 2"]


def test_a_size_that_nothing_shows_is_a_parameter():
    draft = draft_of([(S0 * S1,)], S0)
    read_sizes(draft, set())
    assert draft.sizes == ["$s0"] and draft.statements == [] and draft.suggestions["$s0"] == "size"
    draft = draft_of([(S0,)], "u0")
    read_sizes(draft, {"$u0"})  # a statement of the body sets it
    assert draft.sizes == [] and draft.statements == []


@pytest.mark.parametrize(
    "size, source",
    [
        (S0 + 3, "x.shape[1] - 3"),
        (S0 - 3, "x.shape[1] + 3"),
        (4 * S0 + 2, "(x.shape[1] - 2) // 4"),
        (S0**2, None),
        (S0 * S1, None),
        (S1 + 1, None),
        (7, None),
    ],
)
def test_solve(size, source):
    tree = solve(size, "$s0", "x", 1)
    assert (tree and text(tree)) == source
    if tree is not None:
        axis = int(size.subs(S0, 5))
        assert eval_size(source, axis) == 5


def eval_size(source, axis):
    (expression,) = ast.parse(source.replace("x.shape[1]", str(axis))).body
    return eval(compile(ast.Expression(expression.value), "size", "eval"))


def test_sums_of_sizes_have_one_order():
    tree = ast.parse("f(b + a, a + b, b + c, b - a)").body[0]
    order_sums(tree, {"a": (0, 1), "b": (1, 0)})
    assert ast.unparse(ast.fix_missing_locations(tree)) == "f(a + b, a + b, b + c, b - a)"
