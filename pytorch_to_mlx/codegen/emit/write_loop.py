"""Write the loops of a graph: `for t in range(n)`, with what is carried from round to round and what is collected."""

import ast
from dataclasses import dataclass, field
from typing import Any

from ..graph import Node, Sym
from ..lowering.recorder import Recorded, to_tree
from ..lowering.sizes import PREFIX, as_size, with_sizes
from .scope import Scope, placeholder


@dataclass
class OpenLoop:
    """A loop that is being written. before: the statements around it. starts, names: what is carried, at first, and in
    which variables. lists: the variables of what is collected."""

    before: list[ast.stmt]
    starts: list[ast.expr]
    names: list[str]
    lists: list[str] = field(default_factory=list)


def write_loop(scope: Scope, node: Node) -> None:
    """Write a node of a loop."""
    write = {
        "loop.begin": _begin,
        "loop.carry": _carry,
        "loop.end": _end,
        "loop.last": _last,
        "loop.stack": _join,
        "loop.cat": _join,
    }[node.op]
    write(scope, node)


def _begin(scope: Scope, node: Node) -> None:
    index, _ = node.args
    starts = [scope.tree(start) for start in node.kwargs["carry"]]
    scope.loops[node] = OpenLoop(scope.draft.statements, starts, [scope.draft.fresh_name("x") for _ in starts])
    scope.draft.statements = []
    name = f"{PREFIX}{index.expr}"
    scope.sizes_defined.add(name)
    scope.draft.suggestions[name] = "t"


def _carry(scope: Scope, node: Node) -> None:
    begin, place = node.args
    name = scope.loops[begin].names[place]
    scope.draft.suggestions[name] = scope.suggestion(node)
    scope.values[node] = placeholder(node.meta, ast.Name(name), scope.size_hints)


def _end(scope: Scope, node: Node) -> None:
    (begin,) = node.args
    loop = scope.loops[node] = scope.loops[begin]
    body, draft = scope.draft.statements, scope.draft
    draft.statements = loop.before
    for name, start in zip(loop.names, loop.starts, strict=True):
        draft.assign(ast.Name(name), start)
    late: list[ast.stmt] = []
    for item in node.kwargs["lists"]:
        if isinstance(item, int):
            word = draft.suggestions[loop.names[item]]
        else:
            word = scope.names.target_name(item, scope.call) or "output"
        name = draft.fresh_name(f"{word}s")
        loop.lists.append(name)
        draft.assign(ast.Name(name), ast.List([]))
        value = ast.Name(loop.names[item]) if isinstance(item, int) else scope.tree(item)
        append = ast.Expr(ast.Call(ast.Attribute(ast.Name(name), "append"), [value], []))
        (late if isinstance(item, int) else body).append(append)
    targets: list[ast.expr] = [ast.Name(name) for name in loop.names]
    values = [scope.tree(value) for value in node.kwargs["carry"]]
    if len(targets) == 1:
        body.append(ast.Assign(targets, values[0]))
    elif targets:
        body.append(ast.Assign([ast.Tuple(targets)], ast.Tuple(values)))
    index, count = begin.args
    if isinstance(count, Sym):
        scope.sizes_consumed |= {f"{PREFIX}{symbol}" for symbol in count.expr.free_symbols}
        count = as_size(count, scope.size_hints)
    rounds = ast.Call(ast.Name("range"), [to_tree(count)], [])
    draft.statements.append(ast.For(ast.Name(f"{PREFIX}{index.expr}"), rounds, [*body, *late], []))


def _last(scope: Scope, node: Node) -> None:
    end, item = node.args
    tree = ast.Name(scope.loops[end].names[item]) if isinstance(item, int) else scope.tree(item)
    scope.values[node] = placeholder(node.meta, tree, scope.size_hints)


def _join(scope: Scope, node: Node) -> None:
    """Join what was collected, and what comes before and after it."""
    end, place = node.args
    tree: ast.expr = ast.Name(scope.loops[end].lists[place])
    if node.kwargs["reversed"]:
        tree = ast.Subscript(tree, ast.Slice(None, None, ast.UnaryOp(ast.USub(), ast.Constant(1))))
    before, after = ([scope.tree(part) for part in node.kwargs[name]] for name in ("before", "after"))
    if before or after:
        tree = ast.List([*before, ast.Starred(tree), *after])
    function = ast.Attribute(ast.Name("mx"), "stack" if node.op == "loop.stack" else "concatenate")
    call = ast.Call(function, [tree], [ast.keyword("axis", to_tree(node.kwargs["dim"]))])
    sized: Any = with_sizes(node.meta, scope.size_hints)
    scope.store(node, Recorded(call, placeholder(node.meta, call, scope.size_hints).value, sized.shape))
