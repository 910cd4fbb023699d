"""Names for values, read from the lines of the original source that computed them."""

import ast
import inspect
import keyword
import math
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from ..graph import Line, Node
from .call_tree import Call

RESERVED = {"self", "mx", "nn", "math", "_"}


class SourceNames:
    """The names of values in the user's source.

    modules: the torch module at each path. arguments: by path and number of a call, what `forward` calls its inputs.
    results: likewise, the places of its outputs in the tuple that it returns.
    """

    def __init__(
        self,
        modules: Mapping[str, Any],
        arguments: Mapping[tuple[str, int], Mapping[Node, str]],
        results: Mapping[tuple[str, int], Mapping[Node, int]] | None = None,
    ) -> None:
        self._arguments = arguments
        self._results = results or {}
        self._unpacked: dict[Call, dict[Node, str]] = {}
        self._ranges = {path: _class_lines(type(module)) for path, module in modules.items()}

    def argument_name(self, call: Call, node: Node) -> str:
        """Return what `forward` calls an input of a call; if that is not known, what the caller calls it."""
        name = self._arguments.get((call.path, call.number), {}).get(node)
        if name:
            return name
        if node.op in ("input", "noise"):
            return node.name
        if node.op == "weight":
            return _usable(node.args[0].replace(".", "_")) or "weight"
        return self._name_in(node.trace[-1:], node) or "x"

    def result_place(self, call: Call, node: Node) -> float:
        """Return the place of an output in the tuple that `forward` returns; infinity if it is not there."""
        return self._results.get((call.path, call.number), {}).get(node, math.inf)

    def target_name(self, node: Node, call: Call) -> str | None:
        """Return the variable that the source of a call assigns a value to, if it does."""
        if call not in self._unpacked:
            self._unpacked[call] = dict(self._tuple_targets(call)) | dict(self._unpacked_results(call))
        return self._unpacked[call].get(node) or self._name_in(self._lines(node, call), node)

    def _tuple_targets(self, call: Call) -> Iterator[tuple[Node, str]]:
        """Yield names from `a, b = f(...)`: the values that leave such a line, in order, get its names in order."""
        values: dict[Any, list[Node]] = {}  # by statement
        users: dict[Node, set[Any]] = {}  # the statements that use a value
        for item in call.items:
            results = item.outputs if isinstance(item, Call) else [item]
            for node in results:
                values.setdefault(self._statement_key(node, call), []).append(node)
            first = results[0] if results else None
            for node in item.inputs if isinstance(item, Call) else item.inputs():
                users.setdefault(node, set()).add(first and self._statement_key(first, call))
        for node in call.outputs:
            users.setdefault(node, set()).add("return")
        for key, nodes in values.items():
            leaving = [node for node in nodes if users.get(node, set()) - {key}]
            lines = self._lines(nodes[0], call)
            statement = _statement(lines[-1]) if lines else None
            if not isinstance(statement, ast.Assign) or not isinstance(statement.targets[0], ast.Tuple):
                continue
            names = [part.id if isinstance(part, ast.Name) else "_" for part in statement.targets[0].elts]
            if len(leaving) == 1:
                names = [name for name in names if name != "_"][:1]
            if len(names) == len(leaving):
                yield from ((n, usable) for n, name in zip(leaving, names, strict=True) if (usable := _usable(name)))

    def _unpacked_results(self, call: Call) -> Iterator[tuple[Node, str]]:
        """Yield names from `a, b = self.child(...)`, for the outputs of children whose place in the tuple is known."""
        for child in (item for item in call.items if isinstance(item, Call)):
            for node in child.outputs:
                place = self.result_place(child, node)
                lines = self._lines(node, call)
                statement = _statement(lines[-1]) if lines else None
                if not isinstance(statement, ast.Assign) or not isinstance(statement.targets[0], ast.Tuple):
                    continue
                parts = statement.targets[0].elts
                if isinstance(statement.value, ast.Call) and place < len(parts):
                    target = parts[int(place)]
                    if isinstance(target, ast.Name) and (name := _usable(target.id)):
                        yield node, name

    def ends_statement(self, node: Node, user: Node | Call, call: Call) -> bool:
        """Return whether the source gives a value a name in one statement and uses it in another."""
        first = next(iter(user.nodes()), None) if isinstance(user, Call) else user
        if first is None or self.target_name(node, call) is None:
            return False
        return self._statement_key(node, call) != self._statement_key(first, call)

    def _statement_key(self, node: Node, call: Call) -> Any:
        lines = self._lines(node, call)
        if not lines:
            return None
        statement = _statement(lines[-1])
        return (lines[-1].file, statement.lineno if statement else lines[-1].number)

    def _lines(self, node: Node, call: Call) -> tuple[Line, ...]:
        """Return the lines of a node from the call's own source inwards; for a child's node only the first of them."""
        own = self._ranges.get(call.path)
        if own is None:
            return node.trace[-1:]
        file, first, last = own
        places = [i for i, line in enumerate(node.trace) if line.file == file and first <= line.number <= last]
        if not places:
            return node.trace[-1:]
        return node.trace[places[-1] :] if node.module == call.path else node.trace[places[-1] : places[-1] + 1]

    def _name_in(self, lines: tuple[Line, ...], node: Node) -> str | None:
        for line in reversed(lines):
            statement = _statement(line)
            if isinstance(statement, ast.Return):
                continue
            return _assigned(statement, node)
        return None


def _assigned(statement: ast.stmt | None, node: Node) -> str | None:
    """Return the name that an assignment gives; of several targets, the one with the place of a getitem."""
    if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
        target = statement.targets[0]
    elif isinstance(statement, ast.AugAssign | ast.AnnAssign):
        target = statement.target
    else:
        return None
    if isinstance(target, ast.Tuple):
        place = node.args[1] if node.op == "getitem" else 0
        names = [part for part in target.elts if isinstance(part, ast.Name) and part.id != "_"]
        if node.op != "getitem" and len(names) != 1:
            return None
        if not 0 <= place < len(names):
            return None
        target = names[place]
    return _usable(target.id) if isinstance(target, ast.Name) else None


def _usable(name: str) -> str | None:
    if not name.isidentifier() or keyword.iskeyword(name) or name in RESERVED:
        return None
    return name.lower() if name.isupper() and len(name) > 1 else name


@cache
def _statements(file: str) -> dict[int, ast.stmt]:
    """Return the innermost simple statement on every line of a file."""
    try:
        tree = ast.parse(Path(file).read_text(encoding="utf-8"))
    except (OSError, SyntaxError, UnicodeDecodeError):
        return {}
    statements: dict[int, ast.stmt] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign | ast.Return | ast.Expr):
            for line in range(node.lineno, (node.end_lineno or node.lineno) + 1):
                statements[line] = node
    return statements


def _statement(line: Line) -> ast.stmt | None:
    return _statements(line.file).get(line.number)


def _class_lines(kind: type) -> tuple[str, int, int] | None:
    """Return file, first and last line of a class outside torch."""
    if kind.__module__.startswith("torch."):
        return None
    try:
        lines, first = inspect.getsourcelines(kind)
        file = inspect.getsourcefile(kind)
    except (OSError, TypeError):
        return None
    return (file, first, first + len(lines)) if file else None


def short_name(node: Node) -> str:
    """Return a name for a value that the source does not name: its op, if that is short."""
    if not node.op.startswith("aten."):
        return "x"
    word = node.op.split(".")[1].strip("_")
    if word in ("view", "add", "mul", "cat"):
        return "x"
    if word == "linear":
        return "y"
    return word if len(word) < 9 else "x"
