"""Loops for repeated calls: `x = self.layers[0](x)`, `x = self.layers[1](x)`, … become `for layer in self.layers`.

A round is the run of statements that use one item of a list of modules.
"""

import ast
import copy
from collections.abc import Iterator, Mapping

from ..paths import safe_name
from .module_tree import Place
from .naming import Method

LONGEST_ROUND = 8  # statements


def roll_loops(method: Method, place: Place) -> Method:
    """Put a loop wherever statements repeat for every item of a list of modules. Changes the method.

    place: the module that the method belongs to.
    """
    lists = dict(_module_lists(place))
    start = 0
    while start < len(method.statements):
        for n_statements in range(1, LONGEST_ROUND + 1):
            if _roll_at(method, start, n_statements, lists):
                break
        start += 1
    return method


def _module_lists(place: Place, prefix: str = "self") -> Iterator[tuple[str, int]]:
    """Yield source text and length of every list of modules that the method can reach by name."""
    for name, child in place.children.items():
        text = f"{prefix}[{name}]" if name.isdigit() else f"{prefix}.{safe_name(name)}"
        if child.is_list and (child.is_loop or len(child.children) > 1):
            yield text, max(map(int, child.children)) + 1
        if child.layer is None and child.weight is None:
            yield from _module_lists(child, text)


def _roll_at(method: Method, start: int, n_statements: int, lists: dict[str, int]) -> bool:
    """Put a loop in place of the rounds whose first is statements[start : start + n_statements], if they are alike.

    Returns whether they are.
    """
    items = _list_items(method.statements[start : start + n_statements], lists)
    if not items:
        return False
    name = min((text for text, _ in items), key=len)  # lists inside its items are part of the round
    if any(index != 0 if text == name else not text.startswith(f"{name}[0]") for text, index in items):
        return False
    count = lists[name]
    if count == 1 and not _list_items(method.statements[start : start + 1], {name: 1}):
        return False
    end = start + n_statements * count
    if end > len(method.statements):
        return False
    rounds = [method.statements[i : i + n_statements] for i in range(start, end, n_statements)]
    initial = _loop_variables(rounds, name)
    if initial is None:
        return False
    variable = _item_name(name, method)
    body = _with_item(rounds[-1], name, count - 1, variable)
    starts: list[ast.stmt] = [
        ast.Assign([ast.Name(target)], ast.Name(value) if value else ast.Constant(None))
        for target, value in initial.items()
    ]
    loop = ast.For(ast.Name(variable), ast.parse(name, mode="eval").body, body, [])
    method.statements[start:end] = [*starts, loop]
    method.locals.add(variable)
    return True


def _loop_variables(rounds: list[list[ast.stmt]], name: str) -> dict[str, str | None] | None:
    """Return the variables that each round takes from the one before, with what the first round has in their place.

    None if the rounds are no loop: they differ in more than the item, or set different variables.
    """
    if not all(isinstance(statement, ast.Assign) for statements in rounds for statement in statements):
        return None
    patterns = [_pattern(statements, name, i) for i, statements in enumerate(rounds)]
    if any(pattern is None for pattern in patterns) or len(set(patterns[1:])) > 1:
        return None
    if any(set(_targets(statements)) != set(_targets(rounds[0])) for statements in rounds):
        return None
    return _initial_values(rounds[0], rounds[1], name) if len(rounds) > 1 else {}


def _list_items(statements: list[ast.stmt], lists: Mapping[str, int]) -> list[tuple[str, int]]:
    """Return source text of the list and index of every item of a list that statements use."""
    return [
        (text, part.slice.value)
        for statement in statements
        for part in ast.walk(statement)
        if isinstance(part, ast.Subscript)
        and isinstance(part.slice, ast.Constant)
        and isinstance(part.slice.value, int)
        if (text := ast.unparse(part.value)) in lists
    ]


def _pattern(statements: list[ast.stmt], name: str, index: int) -> str | None:
    """Return the statements with the list item blanked; None if they use another item."""
    if any(i != index for _, i in _list_items(statements, {name: 0})):
        return None
    return "\n".join(ast.dump(statement) for statement in _with_item(statements, name, index, "§"))


def _with_item(statements: list[ast.stmt], name: str, index: int, variable: str) -> list[ast.stmt]:
    return [_ReplaceItem(name, index, variable).visit(copy.deepcopy(statement)) for statement in statements]


class _ReplaceItem(ast.NodeTransformer):
    """Replace name[index] by a variable."""

    def __init__(self, name: str, index: int, variable: str) -> None:
        self._name, self._index, self._variable = name, index, variable

    def visit_Subscript(self, node: ast.Subscript) -> ast.expr:
        self.generic_visit(node)
        if (
            isinstance(node.slice, ast.Constant)
            and node.slice.value == self._index
            and ast.unparse(node.value) == self._name
        ):
            return ast.Name(self._variable)
        return node


def _initial_values(first: list[ast.stmt], second: list[ast.stmt], name: str) -> dict[str, str | None] | None:
    """Return the variables of the second round that are others in the first, which takes its values from outside.

    Instead of a variable, the first may have None. None if the rounds differ in more than names, or if such a variable
    is not set by the round before.
    """
    if _targets(first) != _targets(second):
        return None
    set_before: set[str] = set()  # by the round itself, up to this statement
    pairs: dict[str, str | None] = {}
    for one, two in zip(_with_item(first, name, 0, "§"), _with_item(second, name, 1, "§"), strict=True):
        assert isinstance(one, ast.Assign) and isinstance(two, ast.Assign)
        left, right = list(ast.walk(one.value)), list(ast.walk(two.value))
        if [_shape(part) for part in left] != [_shape(part) for part in right]:
            return None
        for a, b in zip(left, right, strict=True):
            if isinstance(b, ast.Name):
                first_name = a.id if isinstance(a, ast.Name) else None
                if (b.id in set_before and first_name != b.id) or pairs.setdefault(b.id, first_name) != first_name:
                    return None
            elif isinstance(a, ast.Name):
                return None
        set_before |= set(_targets([two]))
    initial = {variable: value for variable, value in pairs.items() if variable != value}
    return None if any(variable not in set_before for variable in initial) else initial


def _shape(part: ast.AST) -> str:
    """Return what a syntax node is, without the names of variables."""
    if isinstance(part, ast.Name) or (isinstance(part, ast.Constant) and part.value is None):
        return "name"
    values = [repr(value) for _, value in ast.iter_fields(part) if not isinstance(value, ast.AST | list)]
    return f"{type(part).__name__} {values}"


def _targets(statements: list[ast.stmt]) -> list[str]:
    """Return the names of the variables that statements set, in order."""
    return [
        part.id
        for statement in statements
        if isinstance(statement, ast.Assign)
        for part in ast.walk(statement.targets[0])
        if isinstance(part, ast.Name)
    ]


def _item_name(name: str, method: Method) -> str:
    """Return the loop variable for a list: its name in the singular; "layer", or "block", where that does not serve."""
    word = name.rpartition(".")[2].rstrip("]").split("[")[0]
    singular = word[:-1] if word.endswith("s") and len(word) > 2 else "layer" if word != "layer" else "block"
    if singular in ("", word):
        singular = "layer"
    while singular in method.locals:
        singular += "_"
    return singular
