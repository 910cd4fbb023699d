"""Arguments and results of the whole model in the original's structure.

Lists, tuples and dicts of arrays stay what they are; classes of outputs become dicts.
"""

import ast
import copy
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ..capture.arguments import is_fixed, named_arguments
from ..capture.methods import Entry
from ..capture.tensors import Module, Tensor, flat_tensors
from ..graph import Graph, Meta, Node, Sym
from ..lowering.recorder import to_tree
from ..paths import access
from .draft import Draft
from .source_names import short_name

CHECK_SHAPE = "check_shape"
CHECK_VALUE = "check_value"


def model_arguments(args: tuple, kwargs: Mapping[str, Any]) -> list[Any]:
    """Return what the generated model is called with, in order.

    Tensors, lists, tuples and dicts of nothing but tensors, numbers, flags and text stay as they are; anything else,
    such as a cache class, is given as its tensors one by one. Keywords that are no tensors come last.
    """
    arguments: list[Any] = []
    for value in (*args, *sorted(kwargs.values(), key=is_fixed)):
        if _is_tree(value) or is_fixed(value):
            arguments.append(value)
        else:
            arguments += flat_tensors(value)
    return arguments


def _is_tree(value: Any) -> bool:
    """Return whether a value is a list, a tuple or a dict of nothing but tensors and the like."""
    if type(value) not in (dict, list, tuple) or not value:
        return False
    parts = value.values() if isinstance(value, dict) else value
    return all(isinstance(part, Tensor) or _is_tree(part) for part in parts)


def nest_inputs(draft: Draft, entry: Entry, module: Module) -> None:
    """Give a method one parameter for every list, tuple or dict, where it has one for each tensor inside.

    Numbers, flags and text are parameters as well, whose values are checked.
    """
    waiting = list(draft.args)
    nested: list[str] = []
    parts: dict[str, ast.expr] = {}  # a parameter for one tensor -> its place in a nested one
    checks: list[ast.stmt] = []
    for name, value in named_arguments(getattr(module, entry.name), entry.args, entry.kwargs):
        if is_fixed(value):
            parameter = draft.fresh_name(name)
            nested.append(parameter)
            draft.defaults[parameter] = to_tree(value)
            call = ast.Call(ast.Name(CHECK_VALUE), [to_tree(name), ast.Name(parameter), to_tree(value)], [])
            checks.append(ast.Expr(call))
            continue
        count = len(flat_tensors(value))
        flat, waiting = waiting[:count], waiting[count:]
        if not _is_tree(value):
            nested += flat
            continue
        parameter = draft.fresh_name(name)
        nested.append(parameter)
        parts |= dict(zip(flat, _places(ast.Name(parameter), value), strict=True))
    nested += waiting  # noise, which the original draws itself
    draft.defaults |= {name: ast.Constant(None) for name in waiting}
    draft.statements[:0] = checks
    draft.helpers |= {CHECK_VALUE} if checks else set()

    class Replace(ast.NodeTransformer):
        def visit_Name(self, node: ast.Name) -> ast.expr:
            return copy.deepcopy(parts[node.id]) if node.id in parts else node

    draft.args = nested
    draft.statements = [Replace().visit(statement) for statement in draft.statements]
    draft.results = [Replace().visit(result) for result in draft.results]
    for name in parts:
        draft.suggestions.pop(name)


def _places(tree: ast.expr, value: Any) -> Iterator[ast.expr]:
    """Yield tree[0]["k"] and so on, in the order in which PyTorch flattens the value."""
    if isinstance(value, Tensor):
        yield tree
        return
    for key, part in value.items() if isinstance(value, dict) else enumerate(value):
        yield from _places(ast.Subscript(tree, to_tree(key)), part)


def check_shapes(draft: Draft) -> list[ast.Call]:
    """Let a method refuse inputs that are not as long as the example on the axes that the capture fixed.

    Returns the calls that check, whose first argument, the name of the input, is still to be set.
    """
    calls: list[ast.Call] = []
    for node, argument in zip(draft.call.inputs, draft.args, strict=True):
        if node.op == "noise":  # which checks its own shape, if it is given
            continue
        if isinstance(node.meta, Meta) and any(isinstance(size, int) for size in node.meta.shape):
            shape = tuple(size if isinstance(size, int) else None for size in node.meta.shape)
            calls.append(ast.Call(ast.Name(CHECK_SHAPE), [ast.Constant(""), ast.Name(argument), to_tree(shape)], []))
    if calls:
        draft.statements[:0] = [ast.Expr(call) for call in calls]
        draft.helpers.add(CHECK_SHAPE)
    return calls


def name_checked(calls: Iterable[ast.Call], draft: Draft) -> None:
    """Name the inputs that are checked as the caller does: by parameter, and place in it."""
    for call in calls:
        text = ast.unparse(call.args[1])
        for part in ast.walk(call.args[1]):
            if isinstance(part, ast.Name):
                text = text.replace(part.id, draft.suggestions.get(part.id, part.id))
        call.args[0] = ast.Constant(text)


def nest_outputs(draft: Draft, entry: Entry, graph: Graph) -> None:
    """Turn the results of a method into one expression; write changed buffers back first. graph: simplified."""
    captured = entry.captured
    trees = dict(zip(draft.call.outputs, draft.results, strict=True))
    if captured.updates:  # all is read before anything is written
        for node, tree in trees.items():
            if not isinstance(tree, ast.Name):
                trees[node] = ast.Name(draft.fresh_name(short_name(node)))
                draft.assign(trees[node], tree)
    for name, node in captured.updates.items():
        draft.assign(access("", name), trees[node])
    numbers = iter(draft.number_results)
    leaves = [next(numbers) if isinstance(value, Sym) else _leaf(value, trees) for value in graph.output.args[0]]
    draft.number_results = []
    draft.results = [_structure(captured.out_spec, leaves)]


def _leaf(value: Any, trees: Mapping[Node, ast.expr]) -> ast.expr:
    return trees[value] if isinstance(value, Node) else to_tree(value)


def _structure(spec: Any, leaves: list[ast.expr]) -> ast.expr:
    """Return the expression of a pytree; takes its leaves from the front of the list."""
    if spec.is_leaf():
        return leaves.pop(0)
    parts = [_structure(child, leaves) for child in spec.children()]
    if spec.type is list:
        return ast.List(parts)
    keys = _keys(spec) if spec.type is not tuple else None
    if keys is None or len(keys) != len(parts):
        return ast.Tuple(parts)
    return ast.Dict([to_tree(key) for key in keys], parts)


def _keys(spec: Any) -> list[str] | None:
    """Return the field names of a dict-like, dataclass-like or named-tuple node."""
    context = spec.context
    if isinstance(context, list | tuple) and all(isinstance(key, str | int) for key in context):
        return list(context)
    if isinstance(context, list | tuple) and context and isinstance(context[0], list | tuple):
        return list(context[0])
    fields = getattr(spec.type, "_fields", None)
    return list(fields) if fields else None
