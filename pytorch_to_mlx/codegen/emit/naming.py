"""Readable names for the values of a method."""

import ast
import builtins
import copy
from dataclasses import dataclass, field
from itertools import chain, count

from ..lowering.sizes import PREFIX
from .draft import Draft

# Names that generated source uses. Parameters may have those of other builtins, such as `input`; variables may not.
USED = set("mx nn math self max min int round zip range list complex float bool len".split())
RESERVED = USED | set(vars(builtins))


@dataclass
class Method:
    """A method with its final names. args: without self. locals: every name in it, parameters included.

    defaults: of the last args, which may be left out.
    """

    name: str
    args: list[str]
    statements: list[ast.stmt]
    results: list[ast.expr]
    locals: set[str] = field(default_factory=set)
    defaults: list[ast.expr] = field(default_factory=list)


def choose_names(draft: Draft) -> Method:
    """Return a copy of a draft with readable names. A name is free again after the last use of its first value."""
    args = [*draft.args, *draft.sizes]
    statements = [copy.deepcopy(statement) for statement in draft.statements]
    results = [copy.deepcopy(result) for result in draft.results]
    first, last = _lifetimes(args, statements, results)
    readable: dict[str, str] = {}
    holders: dict[str, list[str]] = {}  # readable name -> the provisional names that it stands for
    for name, start in sorted(first.items(), key=lambda item: item[1]):
        base = draft.suggestions.get(name) or ("size" if name.startswith(PREFIX) else "x")
        alternative = draft.alternatives.get(name)
        reserved = draft.helpers | (USED if name in args else RESERVED)

        def is_free(candidate: str, start: int = start, reserved: set[str] = reserved) -> bool:
            in_use = any(last[other] > start or first[other] == start for other in holders.get(candidate, []))
            return not in_use and candidate not in reserved

        candidates = chain([base], [alternative] if alternative else [], (f"{base}_{n}" for n in count(2)))
        readable[name] = next(filter(is_free, candidates))
        holders.setdefault(readable[name], []).append(name)
    rename = _Rename(readable)
    return Method(
        draft.method,
        [readable[name] for name in args],
        [rename.visit(statement) for statement in statements],
        [rename.visit(result) for result in results],
        set(readable.values()),
        [draft.defaults[name] for name in _optional(draft, args)],
    )


def _optional(draft: Draft, args: list[str]) -> list[str]:
    """Return the last parameters, as far as they have a default."""
    n_required = next((place for place in range(len(args), 0, -1) if args[place - 1] not in draft.defaults), 0)
    return args[n_required:]


def _lifetimes(
    args: list[str], statements: list[ast.stmt], results: list[ast.expr]
) -> tuple[dict[str, int], dict[str, int]]:
    """Return for each provisional name the statement that sets it (-1: a parameter), and the last that uses it."""
    first = dict.fromkeys(args, -1)
    last = dict.fromkeys(args, -1)
    for place, statement in enumerate([*statements, *results]):
        start = 2 * min(place, len(statements))
        end = start + isinstance(statement, ast.For)  # what a loop reads is in use until its last round
        for name in _provisional(statement):
            last[name] = max(last.get(name, end), end)
        for part in ast.walk(statement):
            if isinstance(part, ast.Assign | ast.For):
                target = part.target if isinstance(part, ast.For) else part.targets[0]
                for name in _provisional(target):
                    first.setdefault(name, start)
    return first, last


def _provisional(tree: ast.AST) -> list[str]:
    """Return the provisional names in a syntax tree."""
    names = (part.id for part in ast.walk(tree) if isinstance(part, ast.Name))
    return [name for name in names if name[0] in ("%", PREFIX)]


class _Rename(ast.NodeTransformer):
    def __init__(self, names: dict[str, str]) -> None:
        self._names = names

    def visit_Name(self, node: ast.Name) -> ast.Name:
        return ast.Name(self._names.get(node.id, node.id))
