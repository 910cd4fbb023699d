"""Literals in generated code: what instances of one class may differ in."""

import ast
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from ..paths import is_path
from .interfaces import callee_of


def is_literal(tree: ast.AST) -> bool:
    """Return whether an expression is a number, a flag, text, None, or a tuple or list of these."""
    match tree:
        case ast.Constant(value=value):
            return value is not Ellipsis
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return is_literal(operand)
        case ast.Attribute(value=ast.Name(id="mx"), attr="inf" | "nan"):
            return True
        case ast.Tuple(elts=parts) | ast.List(elts=parts):
            return all(is_literal(part) for part in parts)
    return False


def literal_value(tree: ast.AST) -> Any:
    """Return the value of a literal; None for infinity and NaN, which JSON does not have, and for other code."""
    if not is_literal(tree):
        return None
    try:
        return ast.literal_eval(ast.fix_missing_locations(tree))
    except ValueError:
        return None


def code_of(tree: ast.AST) -> str:
    """Return a syntax tree as text that is equal for equal code."""
    return scan(tree, keep=True)[0]


def scan(
    tree: ast.AST, *, keep: bool = False, names: Collection[str] = (), places: list[ast.expr] | None = None
) -> tuple[str, list[ast.expr]]:
    """Return code as text with its literals blanked, and the literals in order. Places in lists of modules stay.

    keep: do not blank anything. names: variables that are blanked too, and put into `places` in order, with the
    arguments of noted calls that are None.
    """
    parts: list[str] = []
    literals: list[ast.expr] = []

    def visit(item: Any) -> None:
        if isinstance(item, list):
            parts.append("[")
            for part in item:
                visit(part)
            parts.append("]")
        elif not isinstance(item, ast.AST):
            parts.append(repr(item))
        elif isinstance(item, ast.Name) and item.id in names:
            parts.append("$")
            if places is not None:
                places.append(item)
        elif not keep and isinstance(item, ast.expr) and is_literal(item):
            parts.append("#")
            literals.append(item)
        elif isinstance(item, ast.Subscript) and isinstance(item.slice, ast.Constant) and is_path(item):
            visit(item.value)
            parts.append(repr(item.slice.value))
        else:
            parts.append(f"{type(item).__name__}(")
            for name in item._fields:
                value = getattr(item, name, None)
                if name == "keywords" and names and callee_of(item) is not None:
                    visit_keywords(value)
                elif name not in ("ctx", "kind", "type_comment"):
                    visit(value)
            parts.append(")")

    def visit_keywords(keywords: Any) -> None:
        for keyword in keywords:
            parts.append(f"{keyword.arg}=")
            if isinstance(keyword.value, ast.Constant) and keyword.value.value is None:
                parts.append("$")
                if places is not None:
                    places.append(keyword.value)
            else:
                visit(keyword.value)

    visit(tree)
    return " ".join(parts), literals


def columns(literals: Sequence[ast.expr]) -> Iterator[tuple[ast.expr, ...]]:
    """Yield what stands in one place in every instance: the parts of lists and tuples that are equally long."""
    first = literals[0]
    if isinstance(first, ast.List | ast.Tuple) and all(
        type(item) is type(first) and len(item.elts) == len(first.elts)  # type: ignore[attr-defined]
        for item in literals
    ):
        for parts in zip(*(item.elts for item in literals), strict=True):  # type: ignore[attr-defined]
            yield from columns(parts)
        return
    yield tuple(literals)


class Replace(ast.NodeTransformer):
    """Put expressions in the place of others, which are given by their `id`."""

    def __init__(self, expressions: Mapping[int, ast.expr]) -> None:
        self._expressions = expressions

    def visit(self, node: ast.AST) -> Any:
        return self._expressions[id(node)] if id(node) in self._expressions else self.generic_visit(node)
