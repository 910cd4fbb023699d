"""What the whole model takes and gives in the original's structure: lists, tuples and dicts of arrays stay what they
are, output classes become dicts."""

import ast
import copy
import inspect
from collections.abc import Iterator, Mapping
from typing import Any

from ..capture.export import Captured
from ..capture.tensors import Module, Tensor, flat_tensors
from ..graph import Node, Sym
from ..lowering.recorder import to_tree
from ..lowering.sizes import size_tree
from ..paths import access
from .writer import Written


def given_values(args: tuple, kwargs: Mapping[str, Any]) -> list[Any]:
    """What the generated model is called with, in order: tensors, and lists, tuples and dicts of nothing but tensors as
    they are; of anything else, such as a cache class, its tensors one by one."""
    found: list[Any] = []
    for value in (*args, *kwargs.values()):
        if _is_tree(value):
            found.append(value)
        else:
            found += flat_tensors(value)
    return found


def _is_tree(value: Any) -> bool:
    if type(value) not in (dict, list, tuple) or not value:
        return False
    parts = value.values() if isinstance(value, dict) else value
    return all(isinstance(part, Tensor) or _is_tree(part) for part in parts)


def input_tree(written: Written, module: Module, args: tuple, kwargs: Mapping[str, Any]) -> None:
    """Give the root one parameter for every list, tuple or dict, where it has one for each tensor inside."""
    parameters = inspect.signature(module.forward).parameters.values()
    named = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    names = [*named[: len(args)], *(f"inputs_{i}" for i in range(len(named), len(args))), *kwargs]
    waiting, taken, parts = list(written.args), [], {}
    for name, value in zip(names, (*args, *kwargs.values()), strict=True):
        count = len(flat_tensors(value))
        these, waiting = waiting[:count], waiting[count:]
        if not _is_tree(value):
            taken += these
            continue
        tree = f"%{len(written.hints) + 1}"
        written.hints[tree] = name
        taken.append(tree)
        parts |= dict(zip(these, _places(ast.Name(tree), value), strict=True))
    if not parts:
        return

    class Replace(ast.NodeTransformer):
        def visit_Name(self, node: ast.Name) -> ast.expr:
            return copy.deepcopy(parts[node.id]) if node.id in parts else node

    written.args = taken
    written.statements = [Replace().visit(statement) for statement in written.statements]
    written.results = [Replace().visit(result) for result in written.results]
    for name in parts:
        written.hints.pop(name)


def _places(tree: ast.expr, value: Any) -> Iterator[ast.expr]:
    """tree[0]["k"] and so on, in the order in which PyTorch flattens the value."""
    if isinstance(value, Tensor):
        yield tree
        return
    for key, part in value.items() if isinstance(value, dict) else enumerate(value):
        yield from _places(ast.Subscript(tree, to_tree(key)), part)


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


def _structure(spec: Any, waiting: list[ast.expr]) -> ast.expr:
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


def _keys(spec: Any) -> list[str] | None:
    """The field names of a dict-like, dataclass-like or named-tuple node."""
    context = spec.context
    if isinstance(context, list | tuple) and all(isinstance(key, str | int) for key in context):
        return list(context)
    if isinstance(context, list | tuple) and context and isinstance(context[0], list | tuple):
        return list(context[0])
    fields = getattr(spec.type, "_fields", None)
    return list(fields) if fields else None
