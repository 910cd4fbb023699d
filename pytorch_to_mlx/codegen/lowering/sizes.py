"""Dynamic sizes: sympy expressions as numbers, and as syntax trees over names such as "$s0" in generated source."""

import ast
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from sympy import sympify

from ..graph import Meta, Sym, Unsupported
from .recorder import Size

AXES = {
    1: ("length",),
    2: ("batch", "length"),
    3: ("batch", "length", "width"),
    4: ("batch", "channels", "height", "width"),
    5: ("batch", "channels", "depth", "height", "width"),
}
DATA_SIZE_HINT = 3  # stands in for a size that depends on data
PREFIX = "$"  # not a Python name: replaced when the names of a function are chosen


def size_tree(expr: Any) -> ast.expr:
    """Return the syntax tree of a sympy expression of whole numbers. Raises: Unsupported if it has no exact one."""
    kind = type(expr).__name__
    if expr.is_Symbol:
        return ast.Name(f"{PREFIX}{expr.name}")
    if expr.is_Integer:
        value = int(expr)
        return ast.UnaryOp(ast.USub(), ast.Constant(-value)) if value < 0 else ast.Constant(value)
    if expr.is_Float or expr.is_Rational:
        return ast.Constant(float(expr))
    if kind == "Add":
        return _sum(list(expr.args))
    if kind == "Mul":
        return _product(list(expr.args))
    if kind == "Pow" and expr.args[1].is_Integer and int(expr.args[1]) > 0:
        return ast.BinOp(size_tree(expr.args[0]), ast.Pow(), size_tree(expr.args[1]))
    if kind in ("Max", "Min"):
        return ast.Call(ast.Name(kind.lower()), [size_tree(arg) for arg in expr.args], [])
    if kind in ("FloorDiv", "CleanDiv"):
        return ast.BinOp(size_tree(expr.args[0]), ast.FloorDiv(), size_tree(expr.args[1]))
    if kind in ("Mod", "PythonMod"):
        return ast.BinOp(size_tree(expr.args[0]), ast.Mod(), size_tree(expr.args[1]))
    if kind in ("IntTrueDiv", "FloatTrueDiv"):
        return ast.BinOp(size_tree(expr.args[0]), ast.Div(), size_tree(expr.args[1]))
    if kind in ("ToFloat", "Identity"):
        return size_tree(expr.args[0])
    if kind in ("TruncToInt", "CeilToInt", "FloorToInt", "floor", "ceiling", "RoundToInt"):
        name = {"TruncToInt": "int", "RoundToInt": "round"}.get(kind)
        function: ast.expr
        if name:
            function = ast.Name(name)
        else:
            function = ast.Attribute(ast.Name("math"), "ceil" if kind in ("CeilToInt", "ceiling") else "floor")
        return ast.Call(function, [size_tree(expr.args[0])], [])
    if kind in ("OpaqueUnaryFn_sqrt", "FloatPow", "PowByNatural"):
        exponent = ast.Constant(0.5) if kind == "OpaqueUnaryFn_sqrt" else size_tree(expr.args[1])
        return ast.BinOp(size_tree(expr.args[0]), ast.Pow(), exponent)
    raise Unsupported(f"a size computed as {expr} ({kind})")


def _sum(terms: list) -> ast.expr:
    """Write a + b - c, with a positive term first."""
    terms.sort(key=lambda term: (_negative(term), term.is_number))
    tree = size_tree(terms[0])
    for term in terms[1:]:
        operator = ast.Sub() if _negative(term) else ast.Add()
        tree = ast.BinOp(tree, operator, size_tree(-term if _negative(term) else term))
    return tree


def _negative(term: Any) -> bool:
    return bool(term.could_extract_minus_sign())


def _product(factors: list) -> ast.expr:
    fractions = [factor for factor in factors if factor.is_Rational and not factor.is_Integer]
    if fractions:  # n / 2 is written as a whole division only if it divides, which sympy does not promise
        raise Unsupported(f"a size with the fraction {fractions[0]}")
    tree = size_tree(factors[0])
    for factor in factors[1:]:
        tree = ast.BinOp(tree, ast.Mult(), size_tree(factor))
    return tree


def as_size(value: Any, hints: Mapping[Any, int]) -> Any:
    """Return a size as lowerings see it while they write source: a number, or a Size."""
    if isinstance(value, int | float):
        return value
    expr = value.expr if isinstance(value, Sym) else value
    return Size(size_tree(expr), hint_of(expr, hints), expr=expr)


class Hints(dict):
    """The dynamic sizes of the example.

    data: those that depend on data, as in the example's run. arrays: masks and places in that run that decide about
    such sizes, by node.
    """

    data: Mapping[Any, int] = MappingProxyType({})
    arrays: Mapping[str, Any] = MappingProxyType({})


def substitute_sizes(expr: Any, sizes: Mapping[Any, Any]) -> Any:
    """Return an expression with numbers for its symbols, as far as `sizes` has them."""
    # all at once: sympy then computes, and does not simplify in between
    return expr.xreplace({symbol: sympify(sizes[symbol]) for symbol in expr.free_symbols if symbol in sizes})


def hint_of(expr: Any, hints: Mapping[Any, int]) -> Any:
    """Return the value of a size in the example; one that depends on data counts as 3 where nothing else is known."""
    data = hints.data if isinstance(hints, Hints) else {}
    value = substitute_sizes(expr, dict.fromkeys(expr.free_symbols, DATA_SIZE_HINT) | dict(data) | dict(hints))
    return int(value) if value.is_integer else float(value)


def with_sizes(meta: Any, hints: Mapping[Any, int]) -> Any:
    """Return an announced result with Size values for its dynamic sizes."""
    if isinstance(meta, Meta):
        return Meta(tuple(as_size(size, hints) for size in meta.shape), meta.dtype_name)
    return [with_sizes(part, hints) for part in meta] if isinstance(meta, list | tuple) else meta


def axis_name(ndim: int, axis: int) -> str:
    """Return the name of a dynamic size, after the axis it is read from."""
    return AXES[ndim][axis] if ndim in AXES else f"size_{axis}"
