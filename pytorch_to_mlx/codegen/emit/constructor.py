"""The constructor arguments of a class: the literals in which its instances differ, with names from the original."""

import ast
import copy
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..lowering.recorder import to_tree
from ..paths import safe_name
from .flags import Flag
from .literals import code_of, columns, literal_value, scan
from .module_tree import Instance
from .variants import Slot

LAYER_ARGUMENTS = {
    "Linear": ("in_features", "out_features"),
    "Embedding": ("num_embeddings", "embedding_dim"),
    "LayerNorm": ("dims",),
    "RMSNorm": ("dims",),
    "BatchNorm": ("num_features",),
    "GroupNorm": ("num_groups", "dims"),
} | {f"Conv{kind}{n}d": ("in_channels", "out_channels", "kernel_size") for kind in ("", "Transpose") for n in (1, 2, 3)}

Column = dict[int, ast.expr]  # what stands in one place of the code, by instance


class Constructor:
    """The arguments of a class that is being written.

    names: in order, the last `n_optional` of them may be left out. attributes: those that methods read. expressions:
    what stands in the place of a literal, by its `id`.
    """

    def __init__(self, variants: Sequence[Sequence[Instance]], modules: Mapping[str, Any]) -> None:
        self.names: list[str] = []
        self.n_optional = 0
        self.attributes: list[str] = []
        self.expressions: dict[int, ast.expr] = {}
        self._instances = [instance for instances in variants for instance in instances]
        self._originals = [modules.get(instance.place.path) for instance in self._instances]
        self._values: dict[str, Column] = {}
        self._differing: dict[tuple, list[tuple[ast.expr, Column, bool]]] = {}  # by values
        self._members: list[range] = []  # the instances of each variant
        self._rows: dict[int, Column] = {}  # the literals of a variant's instances, by the `id` of the first's
        self._words: dict[int, tuple[str, str]] = {}  # what the call around a literal calls it, by its `id`
        for instances in variants:
            start = self._members[-1].stop if self._members else 0
            self._members.append(range(start, start + len(instances)))
            for row in zip(*(instance.literals() for instance in instances), strict=True):
                self._rows[id(row[0])] = dict(enumerate(row, start))

    def add_flag(self, flag: Flag, *, is_attribute: bool) -> None:
        """Take a flag, which tells variants apart, as an argument."""
        name = safe_name(flag.name)
        pairs = zip(flag.values, self._members, strict=True)
        self._values[name] = {index: to_tree(value) for value, members in pairs for index in members}
        if is_attribute and name not in self.attributes:
            self.attributes.append(name)

    def add_literals(self, slots: Sequence[Slot], variants: Sequence[int], *, in_init: bool) -> None:
        """Note the literals in which instances differ. variants: those that the slots number."""
        for slot in slots:
            self._words |= dict(_words(slot.first))
            literals = {variants[v]: scan(statement)[1] for v, statement in slot.statements.items()}
            for places in zip(*literals.values(), strict=True):
                row: Column = {}
                for variant, literal in zip(literals, places, strict=True):
                    row |= self._rows.get(id(literal)) or dict.fromkeys(self._members[variant], literal)
                for parts in columns(list(row.values())):
                    column = dict(zip(row, parts, strict=True))
                    codes = {index: code_of(part) for index, part in column.items()}
                    if len(set(codes.values())) > 1:
                        key = tuple(sorted(codes.items()))
                        self._differing.setdefault(key, []).append((parts[0], column, in_init))

    def finish(self, class_name: str) -> None:
        """Name the arguments, and set how every instance is constructed."""
        by_completeness = sorted(self._differing.items(), key=lambda item: -len(item[0]))
        for codes, equal in by_completeness:
            name = self._equal_argument(dict(codes)) or self._name([one[0] for one in equal], equal[0][1])
            self._values[name] = self._values.get(name, {}) | equal[0][1]
            for literal, _, in_init in equal:
                self.expressions[id(literal)] = ast.Name(name) if in_init else ast.Attribute(ast.Name("self"), name)
                if not in_init and name not in self.attributes:
                    self.attributes.append(name)
        required = [name for name, column in self._values.items() if len(column) == len(self._instances)]
        optional = [name for name in self._values if name not in required]
        self.names, self.n_optional = [*required, *optional], len(optional)
        for index, instance in enumerate(self._instances):
            given = {name: self._values[name][index] for name in self.names if index in self._values[name]}
            keywords = [ast.keyword(name, copy.deepcopy(literal)) for name, literal in given.items()]
            instance.place.construct = ast.Call(ast.Name(class_name), [], keywords)

    def _equal_argument(self, codes: Mapping[int, str]) -> str | None:
        """Return the argument that has these values already."""
        for name, column in self._values.items():
            if all(index in column and code_of(column[index]) == code for index, code in codes.items()):
                return name
        return None

    def _name(self, literals: list[ast.expr], column: Column) -> str:
        """Return the original's attribute with these values, else what the call around the literal calls it."""
        pairs = [self._words[id(one)] for one in literals if id(one) in self._words]
        words, long_words = (list(dict.fromkeys(pair[i] for pair in pairs)) for i in (0, 1))
        attribute = self._original_attribute({index: literal_value(part) for index, part in column.items()})
        candidates = [attribute] if attribute else []
        candidates += [words[0]] if len(words) == 1 else ["dim", *words] if words else []
        candidates += long_words
        candidates = [safe_name(name) for name in candidates] or ["value"]
        in_use = {safe_name(name) for instance in self._instances for name in instance.place.children}
        in_use |= {name for one in self._instances for draft in one.place.drafts for name in draft.constants}
        for name in itertools.chain(candidates, (f"{candidates[0]}_{number}" for number in itertools.count(2))):
            # instances that do not have the argument so far may have it for this
            if name not in in_use and not self._values.get(name, {}).keys() & column.keys():
                return name
        raise AssertionError("no name is free")

    def _original_attribute(self, values: Mapping[int, Any]) -> str | None:
        """Return the attribute of the originals that has these values in them."""
        originals = {index: self._originals[index] for index in values}
        if any(original is None for original in originals.values()):
            return None
        for name in vars(next(iter(originals.values()))):
            if name.startswith("_") or not name.isidentifier() or name == "training":
                continue
            if all(_same(getattr(original, name, None), values[index]) for index, original in originals.items()):
                return name
        return None


def _same(attribute: Any, value: Any) -> bool:
    return type(attribute) in (int, float, bool, str, tuple, list) and repr(attribute) == repr(value)


def _words(tree: ast.AST) -> Iterator[tuple[int, tuple[str, str]]]:
    """Yield what the calls around literals call them, by their `id`: short first, then with the attribute's name."""
    target = ast.unparse(tree.targets[0]).rpartition(".")[2] if isinstance(tree, ast.Assign) else ""
    target = target if target.isidentifier() else ""
    for part in ast.walk(tree):
        if not isinstance(part, ast.Call):
            continue
        function = getattr(part.func, "attr", "")
        words = LAYER_ARGUMENTS.get(function, ())
        named = [*zip(words, part.args, strict=False), *((k.arg, k.value) for k in part.keywords if k.arg)]
        if isinstance(part.func, ast.Name) and part.func.id == "range":
            named += [(f"num_{target}", arg) for arg in part.args]
        elif function == "zeros":
            named += [("size", arg) for arg in part.args]
        for word, value in named:
            for item in ast.walk(value):
                yield id(item), (word, f"{target}_{word}" if target else word)
