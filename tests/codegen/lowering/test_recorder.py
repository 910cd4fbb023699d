"""One lowering, run on arrays and written as source."""

import ast

import mlx.core
import pytest

from pytorch_to_mlx.codegen.graph import Unsupported
from pytorch_to_mlx.codegen.lowering.recorder import Recorded, Recording, Size, fn, let, mx, nn, recording, to_tree


def lowering(x, y):
    scale = let("scale", mx.rsqrt(mx.mean(x * x, axis=-1, keepdims=True) + 1e-6))
    return nn.relu(fn.flip(x * scale, [1])[:, 1:] @ y.T) - (-2) ** x.shape[0]


def test_computed_and_written():
    x, y = mlx.core.arange(6.0).reshape(2, 3), mlx.core.ones([4, 2])
    record = Recording()
    with recording(record):
        result = lowering(Recorded(ast.Name("x"), x), Recorded(ast.Name("y"), y))
    lines = [ast.unparse(ast.fix_missing_locations(line)) for line in [*record.statements, ast.Expr(result.tree)]]
    assert lines == [
        "scale__1 = mx.rsqrt(mx.mean(x * x, axis=-1, keepdims=True) + 1e-06)",
        "nn.relu(flip(x * scale__1, axes=[1])[:, 1:] @ y.T) - (-2) ** x.shape[0]",
    ]
    assert record.helpers == {"flip"}
    assert result.dtype == mlx.core.float32 and result.value.shape == (2, 4)
    expected = lowering(x, y)
    assert isinstance(expected, mlx.core.array) and mlx.core.array_equal(result.value, expected)


@pytest.mark.parametrize("value, text", [
    (-3, "-3"), (-0.5, "-0.5"), (float("-inf"), "-mx.inf"), (float("nan"), "mx.nan"), (-0.0, "-0.0"), (True, "True"),
    (2 - 1j, "complex(2.0, -1.0)"), (mlx.core.bool_, "mx.bool_"), (mlx.core.int8, "mx.int8"), ((1,), "(1,)"),
    ([None, "a"], "[None, 'a']"), ({"k": ...}, "{'k': ...}"),
])  # fmt: skip
def test_values_as_source(value, text):
    assert ast.unparse(to_tree(value)) == text


def test_what_has_no_source():
    with pytest.raises(TypeError, match="no source form for object"):
        to_tree(object())


def test_no_decision_by_a_dynamic_size():
    size = Recorded(ast.Name("x"), mlx.core.zeros([5])).shape[0]
    assert isinstance(size + 1, Size) and (size + 1).value == 6 and ast.unparse((2 * size).tree) == "2 * x.shape[0]"
    for decide in (bool, int, lambda n: n > 3 and 1, range):
        with pytest.raises(Unsupported, match="depends on the dynamic size"):
            decide(size)


def test_parts_of_a_call_are_bound_once():
    record = Recording()
    with recording(record):
        first, second = mx.split(Recorded(ast.Name("x"), mlx.core.zeros([4])), 2)
    assert [ast.unparse(ast.fix_missing_locations(line)) for line in record.statements] == ["parts__1 = mx.split(x, 2)"]
    assert [ast.unparse(part.tree) for part in (first, second)] == ["parts__1[0]", "parts__1[1]"]
    with pytest.raises(Unsupported, match="iteration over an array"):
        iter(first)
