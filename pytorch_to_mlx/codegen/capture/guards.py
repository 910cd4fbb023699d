"""Guards: the conditions on dynamic sizes under which a capture holds.

While a module is traced, its code branches on sizes; the graph follows the branches of the example inputs alone.
"""

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
from ..lowering.sizes import DATA_SIZE_HINT, size_tree, substitute_sizes

_RELATIONS = {"==": ast.Eq(), "!=": ast.NotEq(), "<": ast.Lt(), "<=": ast.LtE(), ">": ast.Gt(), ">=": ast.GtE()}
CHECK = "check_size"


@dataclass(frozen=True, slots=True)
class Guard:
    """A condition on dynamic sizes, as a sympy expression, and the line ("file.py:12") that branched on it."""

    condition: Any
    where: str

    def holds(self, sizes: Mapping[Any, int]) -> bool:
        """Tell whether the condition is true of some sizes."""
        return bool(substitute_sizes(self.condition, sizes))

    def statement(self) -> ast.stmt:
        """Return the call of the helper that refuses other sizes."""
        return ast.Expr(ast.Call(ast.Name(CHECK), [condition_tree(self.condition), to_tree(self.where)], []))


def condition_tree(condition: Any) -> ast.expr:
    """Return the syntax tree of a sympy condition on sizes.

    Raises: Unsupported for anything but comparisons and their combinations by not, and, or.
    """
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
    """Collect the conditions on input sizes that code outside torch branched on, unless they hold for every size.

    torch's own questions (is it contiguous, does it broadcast) are left out: they choose how, not what, to compute.
    Kept are those by which torch made a dynamic size a plain number, as for an op that takes no dynamic size there.
    """
    symbols = _input_symbols(program)
    if not symbols:
        return []
    guards: dict[Any, Guard] = {}
    for guard in next(iter(symbols.values())).guards:
        file = getattr(guard.sloc.framework_loc, "filename", "")
        asked_by_torch = not file or "/torch/" in file
        if (asked_by_torch and not _fixes_size(guard.expr)) or not guard.expr.free_symbols <= symbols.keys():
            continue
        if not bound_sympy(guard.expr, program.range_constraints).is_singleton():
            where = file.rpartition("site-packages/")[2] if "site-packages/" in file else Path(file).name
            guards.setdefault(guard.expr, Guard(guard.expr, f"{where}:{guard.sloc.framework_loc.lineno}"))
    return list(guards.values())


def _fixes_size(condition: Any) -> bool:
    """Tell whether a condition makes a size a plain number. Equality with 1 is asked for broadcasting, and does not."""
    number = next((side for side in condition.args if side.is_Integer), None) if condition.is_Equality else None
    return number is not None and number > 1


def fitting_sizes(program: ExportedProgram, hints: Mapping[Any, int]) -> dict[Any, int]:
    """Choose values for sizes that depend on data so that the capture's assertions hold: pieces that make up a whole.

    Each asserted equality is solved for one unknown size, in which it is linear; the others are set to
    DATA_SIZE_HINT.
    """
    values: dict[Any, int] = {}
    environment = next(iter(_input_symbols(program).values()), None)
    if environment is None:
        return values
    for assertion in itertools.chain.from_iterable(environment.deferred_runtime_asserts.values()):
        if not assertion.expr.is_Equality:
            continue
        difference = substitute_sizes(environment.replace(assertion.expr.lhs - assertion.expr.rhs), {**hints, **values})
        *others, unknown = sorted(difference.free_symbols, key=str) or [None]
        chosen = dict.fromkeys(others, DATA_SIZE_HINT)
        start, end = (substitute_sizes(difference, chosen | {unknown: value}) if unknown else 0 for value in (0, 1))
        if start != end and -start % (end - start) == 0:  # the line through both is zero at a whole number
            values |= chosen | {unknown: int(-start / (end - start))}
    return values


def _input_symbols(program: ExportedProgram) -> dict[Any, Any]:
    """Return the dynamic sizes of the inputs, each with the ShapeEnv that recorded what was asked about it."""
    environments = {}
    for item in program.graph.nodes:
        value = item.meta.get("val")
        if item.op == "placeholder" and hasattr(value, "fake_mode"):
            for size in value.shape:
                if not isinstance(size, int) and size.node.expr.is_Symbol:
                    environments[size.node.expr] = size.node.shape_env
    return environments
