"""Guards: the conditions on dynamic sizes under which a capture holds.

While a module is traced, its code branches on sizes; the graph follows the branches of the example inputs alone.
"""

import ast
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import sympy
import torch
from torch.export import ExportedProgram
from torch.utils._sympy.numbers import int_oo
from torch.utils._sympy.value_ranges import ValueRanges, bound_sympy

from ..graph import Unsupported
from ..lowering.recorder import to_tree
from ..lowering.sizes import PREFIX, size_tree, substitute_sizes
from .fx_graph import trace_of
from .input_sizes import axis_text, named

_RELATIONS = {"==": ast.Eq(), "!=": ast.NotEq(), "<": ast.Lt(), "<=": ast.LtE(), ">": ast.Gt(), ">=": ast.GtE()}
CHECK = "check_size"
LARGEST_SIZE = 2**31
_SQUEEZES = (torch.ops.aten.squeeze.default, torch.ops.aten.squeeze.dim, torch.ops.aten.squeeze.dims)
_PIECES = (torch.ops.aten.slice.Tensor, torch.ops.aten.select.int)


@dataclass(frozen=True, slots=True)
class Guard:
    """A condition on dynamic sizes, as a sympy expression, and the line ("file.py:12") that branched on it.

    places: the input and axis of each size, where torch made sizes equal as the code asked: one symbol is left of them.
    """

    condition: Any
    where: str
    places: Mapping[Any, tuple[str, int]] = field(default_factory=dict)

    def holds(self, sizes: Mapping[Any, int]) -> bool:
        """Tell whether the condition is true of some sizes; not where it divides by zero, as the original does there.

        Axes that must be equal are so by their symbols.
        """
        try:
            return bool(self.places) or bool(substitute_sizes(self.condition, sizes))
        except ZeroDivisionError:
            return False

    def text(self, names: Mapping[str, str]) -> str:
        """Return the condition in words. names: of sizes, by symbol."""
        names = dict(names) | {str(symbol): axis_text(*place) for symbol, place in self.places.items()}
        return named(ast.unparse(condition_tree(self.condition)), names)

    def statement(self, names: Mapping[str, str], arguments: Mapping[str, str]) -> ast.stmt:
        """Return the call of the helper that refuses other sizes. arguments: what inputs are called in the source."""
        tree = condition_tree(self.condition)
        axes = {f"{PREFIX}{symbol}": place for symbol, place in self.places.items()}

        class Replace(ast.NodeTransformer):
            def visit_Name(self, node: ast.Name) -> ast.expr:
                if node.id not in axes:
                    return node
                name, axis = axes[node.id]
                return ast.Subscript(ast.Attribute(ast.Name(arguments[name]), "shape"), ast.Constant(axis))

        words = [to_tree(self.text(names)), to_tree(self.where)]
        return ast.Expr(ast.Call(ast.Name(CHECK), [Replace().visit(tree), *words], []))


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
    Kept are those by which torch made a dynamic size a plain number, as for an op that takes no dynamic size there,
    those of slices between plain numbers, and that a size computed from others is one where the graph relies on it.
    """
    symbols = _input_symbols(program)
    if not symbols:
        return []
    environment = next(iter(symbols.values()))
    ranges = dict.fromkeys(symbols, ValueRanges(2, int_oo))
    guards: dict[Any, Guard] = {}

    def add(condition: Any, where: str, places: Mapping[Any, tuple[str, int]] = MappingProxyType({})) -> None:
        if places or not bound_sympy(condition, ranges).is_singleton():
            guards.setdefault(condition, Guard(condition, where, places))

    for guard in environment.guards:
        file = getattr(guard.sloc.framework_loc, "filename", "")
        asked_by_torch = not file or "/torch/" in file
        if asked_by_torch and not _fixes_size(guard.expr):
            continue
        where = f"{short_path(file)}:{guard.sloc.framework_loc.lineno}"
        condition = guard.expr if guard.expr.free_symbols <= symbols.keys() else environment.replace(guard.expr)
        if condition.free_symbols and condition.free_symbols <= symbols.keys():
            add(condition, where)
        elif not asked_by_torch and len(guard.expr.free_symbols) > 1:
            places = _first_places(program, guard.expr.free_symbols)
            if places.keys() == guard.expr.free_symbols:
                add(_in_order(guard.expr, places), where, places)
    if not environment.guards:  # a program from a file: all that is left of its questions are ranges
        for symbol in symbols:
            limits = program.range_constraints.get(symbol, ValueRanges(0, int_oo))
            if limits.upper < LARGEST_SIZE:
                add(sympy.Le(symbol, limits.upper), "torch.export")
            if limits.lower > 2:
                add(sympy.Ge(symbol, limits.lower), "torch.export")
    for condition, where in (*_slice_conditions(program), *_one_conditions(program)):
        if condition.free_symbols and condition.free_symbols <= symbols.keys():
            add(condition, where)
    return list(guards.values())


def short_path(file: str) -> str:
    """Return the path of a source file as a message shows it: of a package as it is imported, else its name."""
    return file.rpartition("site-packages/")[2] if "site-packages/" in file else Path(file).name


def _in_order(condition: Any, places: Mapping[Any, Any]) -> Any:
    """Return an equality with the side that comes first among the inputs on the left."""
    sides = [next((place for place, symbol in enumerate(places) if side.has(symbol)), 0) for side in condition.args]
    return condition.reversed if condition.is_Equality and sides[0] > sides[1] else condition


def _first_places(program: ExportedProgram, symbols: Collection[Any]) -> dict[Any, tuple[str, int]]:
    """Return the input and the axis that symbols first stood for, before torch put others for them."""
    return {
        size.node._expr: (item.name, axis)
        for item, value in _inputs(program)
        for axis, size in enumerate(value.shape)
        if not isinstance(size, int) and size.node._expr in symbols
    }


def _slice_conditions(program: ExportedProgram) -> Iterator[tuple[Any, str]]:
    """Yield for `x[:10]` whether x is longer, and for `x[7]` that it is long enough: torch and MLX cut in silence."""
    for item in program.graph.nodes:
        if item.target not in _PIECES or not isinstance(item.args[0].meta.get("val"), torch.Tensor):
            continue
        axis, *limits = (*item.args[1:], *item.kwargs.values())[:3] or (0,)
        size = item.args[0].meta["val"].shape[axis]
        if isinstance(size, int):
            continue
        size = size.node.expr
        where = _where(item)
        if item.target is torch.ops.aten.select.int:
            (place,) = limits
            if isinstance(place, int) and place not in (0, -1):
                yield sympy.Ge(size, place + 1 if place >= 0 else -place), where
            continue
        hint = item.args[0].meta["val"].shape[axis].node.hint
        for limit in limits:
            if isinstance(limit, int) and 1 < abs(limit) < LARGEST_SIZE and hint is not None:
                yield (sympy.Ge if hint >= abs(limit) else sympy.Le)(size, abs(limit)), where


def _one_conditions(program: ExportedProgram) -> Iterator[tuple[Any, str]]:
    """Yield that a computed size is one, where an axis of it was squeezed or broadcast in the example."""
    for item in program.graph.nodes:
        result = item.meta.get("val")
        if not isinstance(item.target, torch._ops.OpOverload) or not isinstance(result, torch.Tensor):
            continue
        if item.target in _SQUEEZES:
            tensors, lengths = item.args[:1], None
        elif item.target is torch.ops.aten.expand.default or torch.Tag.pointwise in item.target.tags:
            tensors, lengths = item.args, result.shape
        else:
            continue
        for argument in tensors:
            value = argument.meta.get("val") if isinstance(argument, torch.fx.Node) else None
            if not isinstance(value, torch.Tensor):
                continue
            if lengths is None and value.ndim == result.ndim:
                continue
            others = [None] * value.ndim if lengths is None else list(lengths)[len(lengths) - value.ndim :]
            for size, other in zip(value.shape, others, strict=True):
                if isinstance(size, int) or size.node.expr.is_Symbol or size.node.hint != 1:
                    continue
                if other is None or _hint(other) != 1:
                    yield sympy.Eq(size.node.expr, 1), _where(item)


def _hint(size: Any) -> int | None:
    return size if isinstance(size, int) else size.node.hint


def _where(item: Any) -> str:
    """Return the line of the user's code that led to a node, as "file.py:12"."""
    trace = trace_of(item)
    return f"{short_path(trace[-1].file)}:{trace[-1].number}" if trace else item.name


def _fixes_size(condition: Any) -> bool:
    """Tell whether a condition makes a size a plain number. Equality with 1 is asked for broadcasting, and does not."""
    number = next((side for side in condition.args if side.is_Integer), None) if condition.is_Equality else None
    return number is not None and number > 1


def _input_symbols(program: ExportedProgram) -> dict[Any, Any]:
    """Return the dynamic sizes of the inputs, each with the ShapeEnv that recorded what was asked about it."""
    return {
        size.node.expr: size.node.shape_env
        for _, value in _inputs(program)
        for size in value.shape
        if not isinstance(size, int) and size.node.expr.is_Symbol
    }


def _inputs(program: ExportedProgram) -> Iterator[tuple[Any, Any]]:
    """Yield the node and the tensor without values of every input."""
    for item in program.graph.nodes:
        value = item.meta.get("val")
        if item.op == "placeholder" and hasattr(value, "fake_mode"):
            yield item, value
