"""The sizes a capture holds for: every question that the original's own code asked about sizes while it was traced."""

import ast
import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch.export import ExportedProgram
from torch.utils._sympy.value_ranges import bound_sympy

from ..graph import Unsupported
from ..lowering.recorder import to_tree
from ..lowering.sizes import SOME, at, size_tree

_RELATIONS = {"==": ast.Eq(), "!=": ast.NotEq(), "<": ast.Lt(), "<=": ast.LtE(), ">": ast.Gt(), ">=": ast.GtE()}
CHECK = "check_size"


@dataclass(frozen=True, slots=True)
class Guard:
    """A condition on dynamic sizes, as a sympy expression, and the line ("file.py:12") that branched on it."""

    condition: Any
    where: str

    def holds(self, sizes: Mapping[Any, int]) -> bool:
        return bool(at(self.condition, sizes))

    def statement(self) -> ast.stmt:
        """The call of the helper that refuses other sizes."""
        return ast.Expr(ast.Call(ast.Name(CHECK), [condition_tree(self.condition), to_tree(self.where)], []))


def condition_tree(condition: Any) -> ast.expr:
    """The syntax tree of a sympy condition on sizes."""
    if condition.is_Relational:
        left, right = size_tree(condition.lhs), size_tree(condition.rhs)
        if condition.lhs.is_number:  # 49 == h * w
            condition, left, right = condition.reversed, right, left
        return ast.Compare(left, [_RELATIONS[condition.rel_op]], [right])
    kind = type(condition).__name__
    if kind == "Not":
        return ast.UnaryOp(ast.Not(), condition_tree(condition.args[0]))
    if kind in ("And", "Or"):
        return ast.BoolOp(ast.And() if kind == "And" else ast.Or(), [condition_tree(part) for part in condition.args])
    raise Unsupported(f"a condition on sizes, {condition} ({kind})")


def own_guards(program: ExportedProgram) -> list[Guard]:
    """What the code outside torch decided by sizes, without what is true of all sizes that were left dynamic.

    torch's own questions (is it contiguous, does it broadcast) are left out: they choose how, not what, to compute;
    but not where it took a size for a plain number, as where an op has no dynamic size in its place.
    """
    symbols = _input_symbols(program)
    if not symbols:
        return []
    found: dict[Any, Guard] = {}
    for guard in next(iter(symbols.values())).guards:
        file = getattr(guard.sloc.framework_loc, "filename", "")
        asked_by_torch = not file or "/torch/" in file
        if (asked_by_torch and not _fixes(guard.expr)) or not guard.expr.free_symbols <= symbols.keys():
            continue
        if not bound_sympy(guard.expr, program.range_constraints).is_singleton():
            where = file.rpartition("site-packages/")[2] if "site-packages/" in file else Path(file).name
            found.setdefault(guard.expr, Guard(guard.expr, f"{where}:{guard.sloc.framework_loc.lineno}"))
    return list(found.values())


def _fixes(condition: Any) -> bool:
    """Whether a condition makes a size a number; sizes of 1 are asked about for broadcasting."""
    number = next((side for side in condition.args if side.is_Integer), None) if condition.is_Equality else None
    return number is not None and number > 1


def fitting_sizes(program: ExportedProgram, hints: Mapping[Any, int]) -> dict[Any, int]:
    """Values for sizes that depend on data, such that what the capture asserts holds: pieces that make up a whole."""
    found: dict[Any, int] = {}
    shapes = next(iter(_input_symbols(program).values()), None)
    for asserted in itertools.chain.from_iterable(shapes.deferred_runtime_asserts.values() if shapes else ()):
        if not asserted.expr.is_Equality:
            continue
        missing = at(shapes.replace(asserted.expr.lhs - asserted.expr.rhs), {**hints, **found})
        *others, last = sorted(missing.free_symbols, key=str) or [None]
        known = dict.fromkeys(others, SOME)
        start, end = (at(missing, known | {last: value}) if last else 0 for value in (0, 1))
        if start != end and -start % (end - start) == 0:  # a straight line meets zero at a whole number
            found |= known | {last: int(-start / (end - start))}
    return found


def _input_symbols(program: ExportedProgram) -> dict[Any, Any]:
    """Dynamic sizes of the inputs, each with the shape environment that knows what was asked about it."""
    found = {}
    for item in program.graph.nodes:
        value = item.meta.get("val")
        if item.op == "placeholder" and hasattr(value, "fake_mode"):
            for size in value.shape:
                if not isinstance(size, int) and size.node.expr.is_Symbol:
                    found[size.node.expr] = size.node.shape_env
    return found
