"""Make one method of the variants of a method: of instances of one class whose code differs."""

import ast
import copy
import dataclasses
import difflib
from collections.abc import Sequence
from dataclasses import dataclass, field

from .interfaces import Interface
from .literals import scan
from .naming import Method
from .variants import Condition, Inseparable, Merged, Slot, insert, local_names, names_set, sink_shape_reads, write

N_TRIALS = 6  # variants that are tried as the first one


@dataclass
class SharedMethod:
    """A method for several variants. args: required ones, then optional ones, whose default is None."""

    name: str
    args: list[str]
    n_optional: int
    code: Merged
    interfaces: list[Interface]  # by variant


def merge_methods(methods: Sequence[Method], flags: Sequence[Condition], signature: Sequence[str] = ()) -> SharedMethod:
    """Return one method for all variants.

    flags: conditions on constructor arguments. signature: the parameters of the original.
    Raises: Inseparable if nothing tells two variants apart whose code differs.
    """
    order = sorted(range(len(methods)), key=lambda variant: _size(methods[variant]), reverse=True)
    best: SharedMethod | None = None
    for first in order[:N_TRIALS]:
        try:
            shared = _merge(
                [_copy(method) for method in methods], [first, *(v for v in order if v != first)], flags, signature
            )
        except Inseparable:
            continue
        if best is None or shared.code.length() < best.code.length():
            best = shared
    if best is None:
        raise Inseparable
    return best


def _size(method: Method) -> tuple[int, int, int]:
    return len(method.args), len(method.results), len(method.statements)


def _copy(method: Method) -> Method:
    """Return a copy of a method with the same literals, by which its instances are compared."""
    trees = [*method.statements, *method.results]
    literals = {id(literal): literal for tree in trees for literal in scan(tree)[1]}
    return dataclasses.replace(
        method,
        statements=copy.deepcopy(method.statements, dict(literals)),
        results=copy.deepcopy(method.results, dict(literals)),
    )


def _merge(
    methods: list[Method], order: list[int], flags: Sequence[Condition], signature: Sequence[str]
) -> SharedMethod:
    """Merge variants in this order: the first one's names are taken over. The methods are changed in place."""
    params = list(dict.fromkeys(arg for variant in order for arg in methods[variant].args))
    required = [arg for arg in params if all(arg in method.args for method in methods)]
    places = {name: place for place, name in enumerate(signature)}
    optional = sorted((arg for arg in params if arg not in required), key=lambda arg: places.get(arg, len(places)))
    interfaces = [
        Interface(list(method.args), required, optional, list(range(len(method.results))), len(method.results))
        for method in methods
    ]
    slots: list[Slot] = []
    for variant in order:
        method = methods[variant]
        if len(methods) > 1:
            method.statements = sink_shape_reads(method.statements)
        if variant != order[0]:
            align(method, params, slots, methods[order[0]].results)
        slots = insert(slots, variant, method.statements)
    reference = max(methods, key=lambda method: len(method.results)).results
    returns: list[Slot] = []
    for variant in order:
        _fill_results(methods[variant], list(reference), interfaces[variant])
        results = methods[variant].results
        result = ast.Return(results[0] if len(results) == 1 else ast.Tuple(results))
        returns = insert(returns, variant, [result])
    missing = {variant: set(params) - set(method.args) for variant, method in enumerate(methods)}
    conditions = [
        Condition(
            ast.Compare(ast.Name(name), [ast.Is()], [ast.Constant(None)]),
            tuple(name not in method.args for method in methods),
            parameter=name,
        )
        for name in optional
    ]
    code = write([*slots, *returns], [*flags, *conditions], missing, len(methods))
    return SharedMethod(methods[0].name, [*required, *optional], len(optional), code, interfaces)


def _fill_results(method: Method, reference: list[ast.expr], interface: Interface) -> None:
    """Let a variant return what another returns too: a parameter that it does not change, or None."""
    own = [scan(tree)[0] for tree in method.results]
    keys = [scan(tree)[0] for tree in reference]
    places: list[int] = []
    for key in own:
        start = places[-1] + 1 if places else 0
        places += [start + keys[start:].index(key)] if key in keys[start:] else []
    if len(places) < len(own) or len(own) == len(reference):
        return
    changed = {name for statement in method.statements for name in names_set(statement)}
    results: list[ast.expr] = [ast.Constant(None)] * len(reference)
    for slot, tree in enumerate(reference):
        if isinstance(tree, ast.Name) and tree.id in method.args and tree.id not in changed:
            results[slot] = ast.Name(tree.id)
            if slot not in places:
                interface.same[slot] = tree.id
    for tree, slot in zip(method.results, places, strict=True):
        results[slot] = tree
    interface.slots, interface.n_slots = places, len(reference)
    method.results = results


def align(method: Method, params: list[str], slots: list[Slot], results: list[ast.expr]) -> None:
    """Give a variant's variables the names that they have in the slots, where its code is equal but for names."""
    alignment = _Alignment(method, params)
    alignment.match(slots, results)
    alignment.apply()


@dataclass
class _Alignment:
    """The names of a variant that become those of the variants before it.

    names: its variables. aliases: parameters that it lacks, with the one that it has in their place.
    """

    method: Method
    params: list[str]
    names: dict[str, str] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)
    _edits: dict[int, list[tuple[ast.expr, str]]] = field(default_factory=dict)  # by statement

    def match(self, slots: list[Slot], reference: list[ast.expr]) -> None:
        """Find equal statements and results, whatever their variables are called."""
        statements = self.method.statements
        names = {*self.params, *local_names(statements), *local_names([slot.first for slot in slots])} - {"_"}
        theirs = [_pattern(slot.first, names) for slot in slots]
        ours = [_pattern(statement, names) for statement in statements]
        matcher = difflib.SequenceMatcher(None, [key for key, _ in theirs], [key for key, _ in ours], autojunk=False)
        for start, first, size in matcher.get_matching_blocks():
            for i in range(size):
                self._pair(theirs[start + i][1], ours[first + i][1], first + i)
        place = 0
        for tree in self.method.results:
            key, parts = _pattern(tree, names)
            for slot in range(place, len(reference)):
                other, other_parts = _pattern(reference[slot], names)
                if key == other and self._pair(other_parts, parts, len(statements)):
                    place = slot + 1
                    break

    def _pair(self, theirs: list[ast.expr], ours: list[ast.expr], statement: int) -> bool:
        """Note which of our names become theirs, if that contradicts nothing noted before."""
        names, aliases, edits = dict(self.names), dict(self.aliases), []
        is_result = statement == len(self.method.statements)
        changed = set() if is_result else names_set(self.method.statements[statement])
        for their, our in zip(theirs, ours, strict=True):
            if not isinstance(their, ast.Name):
                if isinstance(our, ast.Name):
                    return False
            elif not isinstance(our, ast.Name) or our.id in self.method.args:
                if isinstance(our, ast.Name) and our.id == their.id:
                    continue
                if isinstance(our, ast.Name) and our.id in changed:  # later code reads it by its own name
                    return False
                if their.id not in self.params or their.id in self.method.args:
                    return False
                edits.append((our, their.id))
                if isinstance(our, ast.Name) and aliases.setdefault(their.id, our.id) != our.id:
                    return False
            elif their.id in self.method.args or names.setdefault(our.id, their.id) != their.id:
                return False
        if len(set(names.values())) < len(names):
            return False
        self.names, self.aliases = names, aliases
        self._edits.setdefault(statement, []).extend(edits)
        return True

    def apply(self) -> None:
        """Rename variables, and put parameters that this variant lacks where they mean the same."""
        statements = self.method.statements
        trees = [*statements, *self.method.results]
        names, own = dict(self.names), dict.fromkeys(local_names(statements))
        for name in own:
            if name not in names and name not in self.method.args and name != "_":
                free, number = name, 2
                while free in names.values() or (free != name and free in own):
                    free, number = f"{name}_{number}", number + 1
                names[name] = free
        edited = {id(part) for edits in self._edits.values() for part, _ in edits}
        for tree in trees:
            for part in ast.walk(tree):
                if isinstance(part, ast.Name) and id(part) not in edited:
                    part.id = names.get(part.id, part.id)
        changed: set[str] = set()
        n_aliased = dict.fromkeys(self.aliases, 0)
        for place, tree in enumerate(trees):
            for part, name in self._edits.get(min(place, len(statements)), []):
                source = part.id if isinstance(part, ast.Name) else None
                if name in changed or source in changed:
                    continue
                if isinstance(part, ast.Name):
                    part.id = name
                    n_aliased[name] += 1
                else:
                    _replace_none(tree, part, name)
            if isinstance(tree, ast.stmt):
                changed |= names_set(tree)
        starts = [ast.Assign([ast.Name(p)], ast.Name(self.aliases[p])) for p, count in n_aliased.items() if count]
        self.method.statements = [*starts, *statements]


def _pattern(tree: ast.AST, names: set[str]) -> tuple[str, list[ast.expr]]:
    places: list[ast.expr] = []
    return scan(tree, names=names, places=places)[0], places


def _replace_none(tree: ast.AST, none: ast.expr, name: str) -> None:
    """Give a call a variable where it is given None."""
    for part in ast.walk(tree):
        if isinstance(part, ast.keyword) and part.value is none:
            part.value = ast.Name(name)
