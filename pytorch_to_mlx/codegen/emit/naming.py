"""Readable names for the values of a method body, and loops for repeated statements."""

import ast
import copy
from dataclasses import dataclass, field

from ..lowering.sizes import PREFIX
from .writer import Written


@dataclass
class Body:
    """A method with its final names."""

    method: str
    args: list[str]
    statements: list[ast.stmt]
    results: list[ast.expr]
    locals: set[str] = field(default_factory=set)


def choose_names(written: Written) -> Body:
    """Replace the provisional names of a body. A name is used again once its first value is needed no more."""
    args = [*written.args, *written.sizes]
    statements = [copy.deepcopy(statement) for statement in written.statements]
    results = [copy.deepcopy(result) for result in written.results]
    defined, last = _lifetimes(args, statements, results)
    chosen: dict[str, str] = {}
    holders: dict[str, list[str]] = {}
    for name, start in sorted(defined.items(), key=lambda item: item[1]):
        base = written.hints.get(name) or ("size" if name.startswith(PREFIX) else "x")
        number = 1
        while True:
            candidate = base if number == 1 else f"{base}_{number}"
            busy = [other for other in holders.get(candidate, []) if last[other] > start or defined[other] == start]
            if not busy and not _collides(candidate, written):
                break
            number += 1
        chosen[name] = candidate
        holders.setdefault(candidate, []).append(name)
    rename = _Rename(chosen)
    return Body(
        written.method,
        [chosen[name] for name in args],
        [rename.visit(statement) for statement in statements],
        [rename.visit(result) for result in results],
        set(chosen.values()),
    )


def _collides(name: str, written: Written) -> bool:
    return name in written.helpers or name in {
        "mx",
        "nn",
        "math",
        "self",
        "max",
        "min",
        "int",
        "round",
        "zip",
        "range",
        "list",
    }


def _lifetimes(
    args: list[str], statements: list[ast.stmt], results: list[ast.expr]
) -> tuple[dict[str, int], dict[str, int]]:
    """When each provisional name gets its value, and when that value is used last."""
    defined = dict.fromkeys(args, -1)
    last = dict.fromkeys(args, -1)
    for time, statement in enumerate([*statements, *results]):
        for part in ast.walk(statement):
            if isinstance(part, ast.Name) and part.id[0] in ("%", PREFIX):
                last[part.id] = max(last.get(part.id, time), min(time, len(statements)))
        if isinstance(statement, ast.Assign):
            for part in ast.walk(statement.targets[0]):
                if isinstance(part, ast.Name) and part.id[0] in ("%", PREFIX):
                    defined.setdefault(part.id, time)
    return defined, last


class _Rename(ast.NodeTransformer):
    def __init__(self, names: dict[str, str]) -> None:
        self._names = names

    def visit_Name(self, node: ast.Name) -> ast.Name:
        return ast.Name(self._names.get(node.id, node.id))
