"""One method for several instances whose code differs: what they share stands once, the rest behind conditions.

What is left of the method for one instance is its own code, statement by statement.
"""

import ast
import contextlib
import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from .literals import scan


@dataclass(frozen=True)
class Condition:
    """A condition in generated source. truth: whether it holds, for every variant.

    parameter: the one whose absence it tests. flag: the constructor argument that it reads.
    """

    tree: ast.expr
    truth: tuple[bool, ...]
    parameter: str | None = None
    flag: str | None = None


@dataclass
class Slot:
    """A statement of a merged method, in the variants that have it: equal but for its literals."""

    key: str
    statements: dict[int, ast.stmt]

    @property
    def first(self) -> ast.stmt:
        """The statement in the first variant that has it."""
        return next(iter(self.statements.values()))


@dataclass
class Merged:
    """Merged statements, with every slot that they consist of, and the conditions in them."""

    statements: list[ast.stmt] = field(default_factory=list)
    slots: list[Slot] = field(default_factory=list)
    conditions: list[Condition] = field(default_factory=list)

    def length(self) -> int:
        """Return the number of statements, those in branches too."""
        return sum(isinstance(part, ast.stmt) for tree in self.statements for part in ast.walk(tree))


class Inseparable(Exception):
    """No condition tells these variants apart."""


def insert(slots: list[Slot], variant: int, statements: Sequence[ast.stmt]) -> list[Slot]:
    """Return the slots with the statements of one more variant: in the same slot where the code is the same."""
    keys = [scan(statement)[0] for statement in statements]
    matcher = difflib.SequenceMatcher(None, [slot.key for slot in slots], keys, autojunk=False)
    result: list[Slot] = []
    for kind, start, stop, first, last in matcher.get_opcodes():
        if kind == "equal":
            for slot, statement in zip(slots[start:stop], statements[first:last], strict=True):
                slot.statements[variant] = statement
        result += slots[start:stop]
        if kind != "equal":
            result += [Slot(keys[i], {variant: statements[i]}) for i in range(first, last)]
    return result


def write(
    slots: list[Slot], conditions: Sequence[Condition], missing: Mapping[int, set[str]], n_variants: int
) -> Merged:
    """Write slots as statements, with conditions where not all variants have them.

    missing: the parameters that each variant does not take. Once a variant sets one, its absence says nothing.
    Raises: Inseparable if no condition tells two variants apart whose code differs.
    """
    best: Merged | None = None
    for is_fine in (False, True):
        writer = _Writer(conditions, {variant: set(missing.get(variant, ())) for variant in range(n_variants)}, is_fine)
        with contextlib.suppress(Inseparable):
            merged = Merged(writer.write(slots, list(range(n_variants))), slots, writer.used)
            best = merged if best is None or merged.length() < best.length() else best
    if best is None:
        raise Inseparable
    return best


@dataclass
class _Writer:
    """Writes slots behind conditions.

    missing: for each variant the parameters that it does not take and has not set so far. is_fine: a new branch begins
    where other variants have the slots. used: the conditions that were written.
    """

    conditions: Sequence[Condition]
    missing: dict[int, set[str]]
    is_fine: bool
    used: list[Condition] = field(default_factory=list)

    def write(self, slots: list[Slot], variants: list[int]) -> list[ast.stmt]:
        """Write slots for some of the variants: each branch as short as can be, else one that lasts to the end."""
        first = next((place for place, slot in enumerate(slots) if not _in_all(slot, variants)), len(slots))
        before, n_used = {variant: set(names) for variant, names in self.missing.items()}, len(self.used)
        try:
            return self._write_short(slots, variants)
        except Inseparable:
            self.missing = before
            del self.used[n_used:]
            return [*self._write_short(slots[:first], variants), self._branch(slots[first:], variants)]

    def _write_short(self, slots: list[Slot], variants: list[int]) -> list[ast.stmt]:
        statements: list[ast.stmt] = []
        place = 0
        while place < len(slots):
            if _in_all(slots[place], variants):
                statements.append(slots[place].first)
                for variant in variants:
                    self.missing[variant] -= names_set(slots[place].statements[variant])
                place += 1
                continue
            end = next((i for i in range(place, len(slots)) if _in_all(slots[i], variants)), len(slots))
            if self.is_fine:
                end = self._end_of_sides(slots, place, end, variants)
            statements.append(self._branch(slots[place:end], variants))
            place = end
        return statements

    def _end_of_sides(self, slots: list[Slot], start: int, end: int, variants: list[int]) -> int:
        """Return where slots end that one condition divides: those of some variants, then those of all the others."""
        side = [v for v in variants if v in slots[start].statements]
        other = [v for v in variants if v not in side]
        if not any(self._divides(one, side, other) or self._divides(one, other, side) for one in self.conditions):
            return end
        place = start
        for members in (side, other):
            while place < end and [v for v in variants if v in slots[place].statements] == members:
                place += 1
        return place

    def _divides(self, condition: Condition, yes: list[int], no: list[int]) -> bool:
        """Return whether a condition is true in exactly these variants, at this place in the code."""
        if not yes or not no or not all(condition.truth[v] for v in yes) or any(condition.truth[v] for v in no):
            return False
        return condition.parameter is None or all(condition.parameter in self.missing[v] for v in yes)

    def _branch(self, slots: list[Slot], variants: list[int]) -> ast.stmt:
        """Write slots that not all variants have: with the condition after which the least is left to write.

        Of equal ones, the absence of a parameter that the slots mention is the plainest.
        """
        choices = []
        names = {part.id for slot in slots for part in ast.walk(slot.first) if isinstance(part, ast.Name)}
        for order, condition in enumerate(self.conditions):
            sides = [[v for v in variants if condition.truth[v] is truth] for truth in (True, False)]
            if not self._divides(condition, *sides):
                continue
            parts = [[slot for slot in slots if any(v in slot.statements for v in side)] for side in sides]
            cost = sum(
                len(part) + sum(not _in_all(slot, side) for slot in part)
                for part, side in zip(parts, sides, strict=True)
            )
            choices.append((cost, condition.parameter not in names, order, condition, sides, parts))
        if not choices:
            raise Inseparable
        *_, condition, sides, parts = min(choices, key=lambda choice: choice[:3])
        self.used.append(condition)
        yes, no = (self.write(part, side) for part, side in zip(parts, sides, strict=True))
        return ast.If(condition.tree, yes, no) if yes else ast.If(negated(condition.tree), no, [])


def negated(test: ast.expr) -> ast.expr:
    """Return the opposite of a condition."""
    match test:
        case ast.Compare(left=left, ops=[ast.Is()], comparators=right):
            return ast.Compare(left, [ast.IsNot()], right)
        case ast.Compare(left=left, ops=[ast.Eq()], comparators=right):
            return ast.Compare(left, [ast.NotEq()], right)
    return ast.UnaryOp(ast.Not(), test)


def _in_all(slot: Slot, variants: list[int]) -> bool:
    return all(variant in slot.statements for variant in variants)


def names_set(statement: ast.stmt) -> set[str]:
    """Return the variables that a statement sets to something else than they are."""
    from .interfaces import unchanged_results

    names: set[str] = set()
    for part in ast.walk(statement):
        if isinstance(part, ast.For):
            names |= {name.id for name in ast.walk(part.target) if isinstance(name, ast.Name)}
        elif isinstance(part, ast.Assign):
            unchanged = unchanged_results(part.value)
            target = part.targets[0]
            if isinstance(target, ast.Tuple):
                names |= {t.id for i, t in enumerate(target.elts) if isinstance(t, ast.Name) and i not in unchanged}
            elif isinstance(target, ast.Name):
                names.add(target.id)
    return names


def sink_shape_reads(statements: list[ast.stmt]) -> list[ast.stmt]:
    """Move `length = x.shape[1]` from the start of a method to its first use: which may be in one variant only."""
    rest = list(statements)
    n_reads = next((i for i, statement in enumerate(rest) if not _reads_shape(statement)), len(rest))
    reads, rest = rest[:n_reads], rest[n_reads:]
    for read in reversed(reads):
        assert isinstance(read, ast.Assign)
        targets = names_set(read)
        sources = {part.id for part in ast.walk(read.value) if isinstance(part, ast.Name)}
        place = 0
        while place < len(rest) - 1:
            used = {part.id for part in ast.walk(rest[place]) if isinstance(part, ast.Name)}
            if used & targets or names_set(rest[place]) & sources:
                break
            place += 1
        rest.insert(place, read)
    return rest


def _reads_shape(statement: ast.stmt) -> bool:
    match statement:
        case ast.Assign(value=ast.Subscript(value=ast.Attribute(value=ast.Name(), attr="shape"))):
            return True
        case ast.Assign(value=ast.Attribute(value=ast.Name(), attr="shape")):
            return True
    return False


def local_names(statements: Sequence[ast.stmt]) -> Iterator[str]:
    """Yield the variables that statements set, in order."""
    for statement in statements:
        for part in ast.walk(statement):
            if isinstance(part, ast.Assign | ast.For):
                target = part.target if isinstance(part, ast.For) else part.targets[0]
                yield from (name.id for name in ast.walk(target) if isinstance(name, ast.Name))
