"""Compute long sizes once, step by step, in statements of their own: a network that pads to a valid length has such."""

import ast
from collections.abc import Collection
from typing import Any

from ..lowering.sizes import PREFIX
from .draft import Draft

LONGEST = 72  # characters of a size that stays where it is used
_SHORTEST = 28  # characters of a part of a longer one that gets a name
_FUNCTIONS = {"max", "min", "int", "round", "ceil", "floor"}


def name_long_sizes(draft: Draft, sizes_defined: Collection[str]) -> set[str]:
    """Begin a body with the parts of its long sizes, and write names for these wherever they occur. Returns the names.

    sizes_defined: sizes that a statement of the body sets: a part with one of them stays where it is.
    """
    steps = _Steps(draft, sizes_defined)
    for _ in range(2):  # a part may occur before the long size that it gets a name from
        draft.statements = [steps.visit(statement) for statement in draft.statements]
        draft.results = [steps.visit(result) for result in draft.results]
        draft.number_results = [steps.visit(result) for result in draft.number_results]
    draft.statements[:0] = steps.statements
    return set(steps.names.values())


class _Steps(ast.NodeTransformer):
    """Puts names for parts of sizes. statements: they set these names."""

    def __init__(self, draft: Draft, sizes_defined: Collection[str]) -> None:
        self.statements: list[ast.stmt] = []
        self._draft = draft
        self._sizes_defined = sizes_defined
        self.names: dict[str, str] = {}  # by the text of the part

    def visit(self, node: Any) -> Any:
        """Return a tree in which sizes are short."""
        if isinstance(node, ast.BinOp | ast.Call) and _is_size(node, self._sizes_defined):
            return self._shorten(node, is_long=len(_text(node)) > LONGEST)
        return self.generic_visit(node)

    def _shorten(self, size: ast.expr, is_long: bool) -> ast.expr:
        for name, value in ast.iter_fields(size):
            if isinstance(value, list):
                setattr(size, name, [self._shorten(part, is_long) for part in value])
            elif isinstance(value, ast.expr) and name != "func":
                setattr(size, name, self._shorten(value, is_long))
        text = _text(size)
        is_step = isinstance(size, ast.Call) or (isinstance(size, ast.BinOp) and isinstance(size.op, ast.FloorDiv))
        if is_long and is_step and len(text) > _SHORTEST and text not in self.names:
            self.names[text] = name = f"{PREFIX}size_{len(self.names) + 1}"
            self._draft.suggestions[name] = "size"
            self.statements.append(ast.Assign([ast.Name(name)], size))
        return ast.Name(self.names[text]) if text in self.names else size


def _is_size(tree: ast.expr, excluded: Collection[str]) -> bool:
    """Tell whether an expression computes a number from sizes alone, and from none of those excluded."""
    match tree:
        case ast.Name(name):
            return name.startswith(PREFIX) and name not in excluded
        case ast.Constant(value):
            return isinstance(value, int | float) and not isinstance(value, bool)
        case ast.BinOp(left, _, right):
            return _is_size(left, excluded) and _is_size(right, excluded)
        case ast.UnaryOp(_, operand):
            return _is_size(operand, excluded)
        case ast.Call(ast.Name(function) | ast.Attribute(ast.Name("math"), function), args, []):
            return function in _FUNCTIONS and all(_is_size(arg, excluded) for arg in args)
    return False


def _text(tree: ast.expr) -> str:
    return ast.unparse(ast.fix_missing_locations(tree))
