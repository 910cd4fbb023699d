"""Loops for repeated calls: `x = self.layers[0](x)`, `x = self.layers[1](x)`, … become `for layer in self.layers`."""

import ast
import copy
from collections.abc import Iterator

from ..paths import safe_name
from .module_tree import Place
from .naming import Body


def roll(body: Body, place: Place) -> Body:
    """The same body with a loop wherever statements repeat for every item of a list of modules."""
    lists = dict(_lists(place))
    start = 0
    while start < len(body.statements):
        for period in range(1, 9):
            if _roll_at(body, start, period, lists):
                break
        start += 1
    return body


def _lists(place: Place, prefix: str = "self") -> Iterator[tuple[str, int]]:
    """Source text and length of every list of modules that the body can reach by name."""
    for name, child in place.children.items():
        text = f"{prefix}[{name}]" if name.isdigit() else f"{prefix}.{safe_name(name)}"
        if child.is_list:
            yield text, max(map(int, child.children)) + 1
        if child.leaf is None and child.weight is None:
            yield from _lists(child, text)


def _roll_at(body: Body, start: int, period: int, lists: dict[str, int]) -> bool:
    """Try a loop whose first round is statements[start : start + period]."""
    first = body.statements[start : start + period]
    used = _indices(first, lists)
    if not used:
        return False
    name = min((text for text, _ in used), key=len)  # lists inside its items are part of the round
    if any(index != 0 if text == name else not text.startswith(f"{name}[0]") for text, index in used):
        return False
    count = lists[name]
    if count < 2 or start + period * count > len(body.statements):
        return False
    rounds = [body.statements[start + i * period : start + (i + 1) * period] for i in range(count)]
    patterns = [_pattern(round_, name, i) for i, round_ in enumerate(rounds)]
    if any(pattern is None for pattern in patterns) or len(set(patterns[1:])) != 1:
        return False
    if not all(isinstance(statement, ast.Assign) for round_ in rounds for statement in round_):
        return False
    carried = _carried(rounds[0], rounds[1], name)
    if carried is None:
        return False
    after = [*body.statements[start + period * count :], *body.results]
    variable = _loop_variable(name, body)
    loop_body = [_Item(name, 1, variable).visit(copy.deepcopy(statement)) for statement in rounds[1]]
    if _written_per_round(rounds, after):
        return False
    starts: list[ast.stmt] = [
        ast.Assign([ast.Name(into)], ast.Name(source)) for into, source in carried.items() if into != source
    ]
    loop = ast.For(ast.Name(variable), ast.parse(name, mode="eval").body, loop_body, [])
    body.statements[start : start + period * count] = [*starts, loop]
    body.locals.add(variable)
    return True


def _indices(statements: list[ast.stmt], lists: dict[str, int]) -> list[tuple[str, int]]:
    found = []
    for statement in statements:
        for part in ast.walk(statement):
            if isinstance(part, ast.Subscript) and isinstance(part.slice, ast.Constant):
                text = ast.unparse(part.value)
                if text in lists:
                    found.append((text, part.slice.value))
    return found


def _pattern(statements: list[ast.stmt], name: str, index: int) -> str | None:
    """The statements with the list item blanked; None if they use another item."""
    if any(i != index for text, i in _indices(statements, {name: 0})):
        return None
    return "\n".join(ast.dump(_Item(name, index, "§").visit(copy.deepcopy(statement))) for statement in statements)


class _Item(ast.NodeTransformer):
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


def _carried(first: list[ast.stmt], second: list[ast.stmt], name: str) -> dict[str, str] | None:
    """Variables that a round takes from the one before: their names in round two and in round one."""
    items = [[_Item(name, i, "§").visit(copy.deepcopy(s)) for s in part] for i, part in enumerate((first, second))]
    if _targets(first) != _targets(second):
        return None
    written: set[str] = set()
    pairs: dict[str, str] = {}
    for one, two in zip(*items, strict=True):
        left, right = (list(ast.walk(statement.value)) for statement in (one, two))
        if [_shape(part) for part in left] != [_shape(part) for part in right]:
            return None
        for a, b in zip(left, right, strict=True):
            if isinstance(a, ast.Name) and isinstance(b, ast.Name):
                if (b.id in written and a.id != b.id) or pairs.setdefault(b.id, a.id) != a.id:
                    return None
        written |= set(_targets([two]))
    changed = {into: source for into, source in pairs.items() if into != source}
    if any(into not in written for into in changed):  # another variable that is not made by the round before
        return None
    return changed


def _shape(part: ast.AST) -> str:
    """A syntax node without the names of variables."""
    if isinstance(part, ast.Name):
        return "name"
    values = [repr(value) for _, value in ast.iter_fields(part) if not isinstance(value, ast.AST | list)]
    return f"{type(part).__name__} {values}"


def _targets(statements: list[ast.stmt]) -> list[str]:
    return [
        part.id
        for statement in statements
        if isinstance(statement, ast.Assign)
        for part in ast.walk(statement.targets[0])
        if isinstance(part, ast.Name)
    ]


def _written_per_round(rounds: list[list[ast.stmt]], after: list[ast.AST]) -> bool:
    """Whether a later statement reads what only an earlier round wrote; names are shared, so it never can."""
    names = [set(_targets(round_)) for round_ in rounds]
    return any(name_set != names[0] for name_set in names)


def _loop_variable(name: str, body: Body) -> str:
    word = name.rpartition(".")[2].rstrip("]").split("[")[0]
    singular = word[:-1] if word.endswith("s") and len(word) > 2 else "layer" if word != "layer" else "block"
    if singular in ("", word):
        singular = "layer"
    while singular in body.locals:
        singular += "_"
    return singular
