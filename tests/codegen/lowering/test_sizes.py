"""Dynamic sizes as numbers and as source."""

import ast

import pytest
import sympy
from torch.utils._sympy.functions import CleanDiv, FloorDiv, Mod

from pytorch_to_mlx.codegen.graph import Meta, Sym, Unsupported
from pytorch_to_mlx.codegen.lowering.recorder import Size
from pytorch_to_mlx.codegen.lowering.sizes import (
    Hints,
    as_size,
    axis_name,
    hint_of,
    size_tree,
    substitute_sizes,
    with_sizes,
)

A, B = sympy.symbols("s0 s1", integer=True, positive=True)


@pytest.mark.parametrize("expr", [
    A + B - 3, 2 * A * B, A**2 - 1, FloorDiv(A + 1, 2) * 3, CleanDiv(A * 6, 3), Mod(A, 4) - B, sympy.Max(A, B, 2),
    sympy.ceiling(sympy.sqrt(1.5) * A), -A, sympy.floor(A * 0.5),
])  # fmt: skip
def test_source_has_the_value_of_the_expression(expr):
    import math

    text = ast.unparse(ast.fix_missing_locations(size_tree(expr))).replace("$", "")
    for a, b in ((7, 2), (8, 5), (1, 11)):
        assert eval(text, {"s0": a, "s1": b, "max": max, "math": math}) == substitute_sizes(expr, {A: a, B: b}), text


def test_a_positive_term_comes_first():
    assert ast.unparse(size_tree(B - A - 1)) == "$s1 - $s0 - 1"


def test_a_fraction_is_not_written_as_a_division():
    with pytest.raises(Unsupported, match="with the fraction 1/2"):
        size_tree(A / 2)


def test_hints():
    assert hint_of(A + 2 * B, Hints({A: 10})) == 16  # B depends on data: 3
    hints = Hints({A: 10})
    hints.data = {B: 4}
    assert hint_of(A + 2 * B, hints) == 18
    assert substitute_sizes(A + B, {A: 10}) == B + 10


def test_sizes_of_a_result():
    batch, width = with_sizes(Meta((A, 4), "float32"), {A: 6}).shape
    assert isinstance(batch, Size) and (batch.value, batch.expr, width) == (6, A, 4)
    assert as_size(Sym(A * 2), {A: 6}).value == 12
    assert [axis_name(4, axis) for axis in range(4)] == ["batch", "channels", "height", "width"]
    assert axis_name(6, 5) == "size_5"
