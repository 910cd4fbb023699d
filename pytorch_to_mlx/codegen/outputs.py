"""The result of the whole model in the original's structure: output classes become dicts, tuples and lists stay."""

import ast
from typing import Any

from torch.utils import _pytree as pytree

from .capture import Captured
from .graph import Node, Sym
from .recorder import to_tree
from .sizes import size_tree
from .trees import access
from .writer import Written


def output_tree(written: Written, captured: Captured, values: tuple) -> None:
    """Turn the results of the root into one expression; write changed buffers back first."""
    made = dict(zip(written.call.outputs, written.results, strict=True))
    for name, node in captured.updates.items():
        written.statements.append(ast.Assign([access("", name)], made[node]))
    waiting = [_leaf(value, made) for value in values]
    written.results = [_structure(captured.out_spec, waiting)]


def _leaf(value: Any, made: dict[Node, ast.expr]) -> ast.expr:
    if isinstance(value, Node):
        return made[value]
    return size_tree(value.expr) if isinstance(value, Sym) else to_tree(value)


def _structure(spec: pytree.TreeSpec, waiting: list[ast.expr]) -> ast.expr:
    if spec.is_leaf():
        return waiting.pop(0)
    children = spec.children()
    if spec.type is tuple or spec.type is list:
        parts = [_structure(child, waiting) for child in children]
        return ast.Tuple(parts) if spec.type is tuple else ast.List(parts)
    parts = [_structure(child, waiting) for child in children]
    keys = _keys(spec)
    if keys is None or len(keys) != len(parts):
        return ast.Tuple(parts)
    return ast.Dict([to_tree(key) for key in keys], parts)


def _keys(spec: pytree.TreeSpec) -> list[str] | None:
    """The field names of a dict-like, dataclass-like or named-tuple node."""
    context = spec.context
    if isinstance(context, list | tuple) and all(isinstance(key, str | int) for key in context):
        return list(context)
    if isinstance(context, list | tuple) and context and isinstance(context[0], list | tuple):
        return list(context[0])
    fields = getattr(spec.type, "_fields", None)
    return list(fields) if fields else None
