"""Branches that pad, cut or resize only where that changes something: `if pad > 0: x = F.pad(x, (0, pad))`.

Without the question the step does nothing where the code skips it. So it is always taken, and the source that is
written holds at every size.
"""

import ast
import operator
from collections.abc import Iterator
from types import FrameType, FunctionType
from typing import Any

import sympy
import torch
from torch import nn
from torch.utils import _pytree as pytree
from torch.utils._sympy.numbers import int_oo
from torch.utils._sympy.value_ranges import ValueRanges, bound_sympy

OPERATORS = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod,
}  # fmt: skip
SAME_IF_EQUAL = ("nearest", "linear", "bilinear", "trilinear", "bicubic")  # modes that keep an image of that size


def answer_that_takes(statement: ast.stmt | None, frame: FrameType, question: Any) -> bool | None:
    """Return the answer that takes a branch, if it is one whose step does nothing where it is skipped; else None.

    question: what is asked, as a sympy relation between sizes.
    """
    if not (question.is_Relational and question.free_symbols):
        return None
    try:
        condition, step, unchanged = _parts(statement)
        zeros = [difference for test in _tests(condition) for difference in _differences(test, frame)]
        changes = list(_changes(step, unchanged, frame))
    except (_Other, AttributeError, IndexError, KeyError, NameError, TypeError, ValueError):
        return None
    if not changes or any(change != 0 and change not in zeros and -change not in zeros for change in changes):
        return None
    return not isinstance(question, sympy.Eq)


class _Other(Exception):
    """The code is of another form."""


def _parts(statement: ast.stmt | None) -> tuple[ast.expr, ast.expr, ast.expr]:
    """Return the condition, the step, and what stays as it is where the code skips the step."""
    match statement:
        case ast.If(test, [ast.Assign([ast.Name() as unchanged], step)], []):
            return test, step, unchanged
        case ast.If(test, [ast.Assign([ast.Name(name)], step)], [ast.Assign([ast.Name(other)], unchanged)]):
            if name == other:
                return test, step, unchanged
        case ast.Assign(_, ast.IfExp(test, step, unchanged)) | ast.Return(ast.IfExp(test, step, unchanged)):
            return test, step, unchanged
    raise _Other


def _tests(test: ast.expr) -> list[ast.expr]:
    return test.values if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.Or) else [test]


def _differences(test: ast.expr, frame: FrameType) -> Iterator[Any]:
    """Yield what is zero where a test is false: both sides of `a != b`, and of `a > b` if a is never less than b."""
    if not isinstance(test, ast.Compare):
        yield _expr(_value(test, frame))
        return
    left, right = _value(test.left, frame), _value(test.comparators[0], frame)
    if len(test.ops) > 1 or not isinstance(test.ops[0], ast.NotEq | ast.Gt | ast.Lt):
        raise _Other
    for a, b in zip(left, right, strict=True) if isinstance(left, tuple | list) else [(left, right)]:
        difference = _expr(b) - _expr(a) if isinstance(test.ops[0], ast.Lt) else _expr(a) - _expr(b)
        ranges = dict.fromkeys(difference.free_symbols, ValueRanges(2, int_oo))
        if not isinstance(test.ops[0], ast.NotEq) and bound_sympy(difference, ranges).lower < 0:
            raise _Other
        yield difference


def _changes(value: ast.expr, unchanged: ast.expr, frame: FrameType) -> Iterator[Any]:
    """Yield by how much a step makes each axis of what it is applied to longer or shorter."""
    if isinstance(value, ast.Call) and getattr(value.func, "attr", "") == "contiguous":
        value = value.func.value  # pyright: ignore[reportAttributeAccessIssue]  an attribute, as it has `attr`
    x = _value(unchanged, frame)
    if isinstance(value, ast.Subscript) and ast.unparse(value.value) == ast.unparse(unchanged):
        yield from _cuts(x, value.slice, frame)
        return
    if not (isinstance(value, ast.Call) and value.args and ast.unparse(value.args[0]) == ast.unparse(unchanged)):
        raise _Other
    function = _value(value.func, frame)
    options: dict[str, Any] = {str(keyword.arg): _value(keyword.value, frame) for keyword in value.keywords}
    rest: list[Any] = [_value(argument, frame) for argument in value.args[1:]]
    mode = rest[2] if len(rest) > 2 else options.get("mode", "nearest")
    if function is nn.functional.pad:
        yield from map(_expr, (rest[0] if rest else options["pad"]) or ())
    elif getattr(function, "__name__", "") == "interpolate" and mode in SAME_IF_EQUAL:
        size = rest[0] if rest else options["size"]
        sizes = size if isinstance(size, tuple | list) else [size] * (x.ndim - 2)
        for n, new in zip(x.shape[2:], sizes, strict=True):
            yield _expr(new) - _expr(n)
    else:
        raise _Other


def _cuts(x: torch.Tensor, index: ast.expr, frame: FrameType) -> Iterator[Any]:
    """Yield by how much `x[:, :height]` is shorter than x on each axis."""
    parts = index.elts if isinstance(index, ast.Tuple) else [index]
    is_dots = [isinstance(part, ast.Constant) and part.value is ... for part in parts]
    if True in is_dots:
        place = is_dots.index(True)
        parts = [*parts[:place], *[ast.Slice()] * (x.ndim - len(parts) + 1), *parts[place + 1 :]]
    for n, part in zip(x.shape, parts, strict=False):
        if not isinstance(part, ast.Slice) or part.lower is not None or part.step is not None:
            raise _Other
        if part.upper is not None:
            stop = _expr(_value(part.upper, frame))
            if stop.is_number and stop < 0:
                raise _Other
            yield stop - _expr(n)


def _value(tree: ast.expr | None, frame: FrameType) -> Any:
    """Return the value of a plain expression in a frame: names, parts, sums, and `x.size()`."""
    match tree:
        case None:
            return None
        case ast.Constant():
            return tree.value
        case ast.Name() if tree.id in frame.f_locals or tree.id in frame.f_globals:
            return frame.f_locals.get(tree.id, frame.f_globals.get(tree.id))
        case ast.Attribute():
            return getattr(_value(tree.value, frame), tree.attr)
        case ast.Subscript():
            return _value(tree.value, frame)[_value(tree.slice, frame)]
        case ast.Slice():
            return slice(*(_value(part, frame) for part in (tree.lower, tree.upper, tree.step)))
        case ast.Tuple():
            return tuple(_value(part, frame) for part in tree.elts)
        case ast.List():
            return [_value(part, frame) for part in tree.elts]
        case ast.BinOp() if type(tree.op) in OPERATORS:
            return OPERATORS[type(tree.op)](_value(tree.left, frame), _value(tree.right, frame))
        case ast.UnaryOp(op=ast.USub()):
            return -_value(tree.operand, frame)
        case ast.Call(func=ast.Attribute(attr="size" | "dim")) if not tree.keywords:
            return _value(tree.func, frame)(*(_value(part, frame) for part in tree.args))
        case ast.Call() if not tree.keywords:  # of the user's own function of numbers, such as one that orders pads
            function, args = _value(tree.func, frame), [_value(part, frame) for part in tree.args]
            numbers = pytree.tree_leaves(args)
            if isinstance(function, FunctionType) and all(isinstance(number, int | torch.SymInt) for number in numbers):
                return function(*args)
    raise _Other


def _expr(number: Any) -> Any:
    """Return a size as a sympy expression."""
    if isinstance(number, torch.SymInt):
        return number.node.expr
    if not isinstance(number, int) or isinstance(number, bool):
        raise _Other
    return sympy.Integer(number)
