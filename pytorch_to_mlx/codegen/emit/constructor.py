"""The constructor arguments of a class: sizes, and literals in which instances differ, named as the original."""

import ast
import copy
import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..lowering.recorder import to_tree
from ..paths import safe_name
from .attribute_names import DIM_WORDS, AttributeNames, is_number
from .flags import Flag
from .interfaces import mark_call
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

SHAPED = {"reshape", "unflatten", "broadcast_to", "zeros", "ones", "full"}
SIZE_KEYWORDS = {"scale", "eps", "groups", "num_groups", "stride", "padding", "dilation", "kernel_size", "shape"}
MOST_UNNAMED = 10  # sizes of a class: with more of them they stay where they are

Column = dict[int, ast.expr]  # what stands in one place of the code, by instance
Word = tuple[str, str, bool]  # what a call calls an argument; with the attribute it is for; whether it is a layer's


@dataclass
class Noted:
    """A literal of a class, as its first instance has it. column: what all have there."""

    literal: ast.expr
    column: Column
    in_init: bool
    word: Word | None

    def __post_init__(self) -> None:
        self.codes = tuple(sorted((index, code_of(part)) for index, part in self.column.items()))
        self.differs = len({code for _, code in self.codes}) > 1


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
        self._differing: dict[tuple, list[Noted]] = {}  # by values
        self._named: dict[tuple[str, str], list[Noted]] = {}  # equal in all instances: by value and attribute
        self._unnamed: dict[tuple[str, str], list[Noted]] = {}  # by value and what they are
        self._names = AttributeNames(self._instances, modules)
        self._taken = {safe_name(name) for instance in self._instances for name in instance.place.children}
        self._taken |= {n for one in self._instances for draft in one.place.drafts for n in draft.constants}
        self._members: list[range] = []  # the instances of each variant
        self._rows: dict[int, Column] = {}  # the literals of a variant's instances, by the `id` of the first's
        for instances in variants:
            start = self._members[-1].stop if self._members else 0
            self._members.append(range(start, start + len(instances)))
            for row in zip(*(instance.literals() for instance in instances), strict=True):
                self._rows[id(row[0])] = dict(enumerate(row, start))

    def add_flag(self, flag: Flag, *, is_attribute: bool) -> None:
        """Take a flag, which tells variants apart, as an argument."""
        name = safe_name(flag.name)
        values = (value for group in flag.values for value in group)
        self._values[name] = {index: to_tree(value) for index, value in enumerate(values)}
        if is_attribute and name not in self.attributes:
            self.attributes.append(name)

    def add_literals(self, slots: Sequence[Slot], variants: Sequence[int], *, in_init: bool) -> None:
        """Note the literals in which instances differ, and sizes. variants: those that the slots number."""
        for slot in slots:
            words = dict(_words_in_init(slot.first) if in_init else _words_in_method(slot.first))
            literals = {variants[v]: scan(statement)[1] for v, statement in slot.statements.items()}
            for places in zip(*literals.values(), strict=True):
                row: Column = {}
                for variant, literal in zip(literals, places, strict=True):
                    row |= self._rows.get(id(literal)) or {index: literal for index in self._members[variant]}
                for parts in columns(list(row.values())):
                    column = dict(zip(row, parts, strict=True))
                    self._note(Noted(parts[0], column, in_init, words.get(id(parts[0]))))

    def _note(self, noted: "Noted") -> None:
        """Keep a literal in which instances differ, or a size."""
        if noted.differs:
            self._differing.setdefault(noted.codes, []).append(noted)
            return
        values = {index: literal_value(part) for index, part in noted.column.items()}
        if noted.word is None or not all(map(is_number, values.values())):
            return
        word = noted.word[0]
        if not noted.in_init:
            name = self._names.size_in_method(values)
        elif word == "size" and values[next(iter(values))] == 1:
            return
        else:
            name = self._names.layer_argument(word, values)
        if name is not None:
            self._named.setdefault((noted.codes[0][1], name), []).append(noted)
        elif noted.in_init:
            kind = "dim" if noted.word[2] and _is_dim(word) else word
            self._unnamed.setdefault((noted.codes[0][1], kind), []).append(noted)

    def finish(self, class_name: str) -> None:
        """Name the arguments, and set how every instance is constructed."""
        for codes, equal in sorted(self._differing.items(), key=lambda item: -len(item[0])):
            self._use(self._equal_argument(dict(codes)) or self._name(equal), equal)
        for (_, name), equal in self._named.items():
            if (free := self._free([safe_name(name)], equal[0].literal)) is not None:
                self._use(free, equal, for_all=True)
        kinds = Counter(kind for _, kind in self._unnamed)
        has_named_dim = any(noted.word and _is_dim(noted.word[0]) for equal in self._named.values() for noted in equal)
        for (code, kind), equal in sorted(self._unnamed.items(), key=lambda item: -len(item[1])):
            if len(self._unnamed) > MOST_UNNAMED or (kinds[kind] > 1 and not _is_of_layer(equal)):
                continue  # each of them stands in one place: here
            if kind == "groups" and (code, "dim") in self._unnamed:
                kind = "dim"
            names = [*_long_words(equal), kind] if kind == "dim" and has_named_dim else [kind, *_long_words(equal)]
            if (free := self._free(names, equal[0].literal)) is not None:
                self._use(free, equal, for_all=True)
        needed_by_all = [name for name, column in self._values.items() if len(column) == len(self._instances)]
        # calls do not write arguments that are None
        required = [name for name in needed_by_all if not any(map(_is_none, self._values[name].values()))]
        optional = [name for name in self._values if name not in required]
        self.names, self.n_optional = [*required, *optional], len(optional)
        for index, instance in enumerate(self._instances):
            values = {name: self._values[name].get(index, ast.Constant(None)) for name in self.names}
            keywords = [ast.keyword(name, copy.deepcopy(literal)) for name, literal in values.items()]
            instance.place.construct = ast.Call(ast.Name(class_name), [], keywords)
            mark_call(instance.place.construct, instance.place.path, "__init__")

    def _use(self, name: str, equal: "Sequence[Noted]", *, for_all: bool = False) -> None:
        """Put an argument in the place of literals. for_all: those instances that do not need it are given it too."""
        column = {i: equal[0].literal for i in range(len(self._instances))} if for_all else equal[0].column
        self._values[name] = self._values.get(name, {}) | column
        for noted in equal:
            tree = ast.Name(name) if noted.in_init else ast.Attribute(ast.Name("self"), name)
            self.expressions[id(noted.literal)] = tree
            if not noted.in_init and name not in self.attributes:
                self.attributes.append(name)

    def _free(self, names: Sequence[str], literal: ast.expr) -> str | None:
        """Return the first name that is free, or an argument that has this value in every instance."""
        for name in names:
            if name not in self._taken and all(
                code_of(one) == code_of(literal) for one in self._values.get(name, {}).values()
            ):
                return name
        return None

    def _equal_argument(self, codes: Mapping[int, str]) -> str | None:
        """Return the argument that has these values already."""
        for name, column in self._values.items():
            if all(index in column and code_of(column[index]) == code for index, code in codes.items()):
                return name
        return None

    def _name(self, equal: "Sequence[Noted]") -> str:
        """Return the original's attribute with these values, else what the call around the literal calls it."""
        column = equal[0].column
        words = list(dict.fromkeys(noted.word[0] for noted in equal if noted.word))
        attribute = self._original_attribute({index: literal_value(part) for index, part in column.items()})
        candidates = [attribute] if attribute else []
        candidates += [words[0]] if len(words) == 1 and words != ["size"] else ["dim"] if words else []
        candidates += [*_long_words(equal), *words]
        candidates = [safe_name(name) for name in candidates] or ["value"]
        for name in itertools.chain(candidates, (f"{candidates[0]}_{number}" for number in itertools.count(2))):
            # instances that do not have the argument so far may have it for this
            if name not in self._taken and not self._values.get(name, {}).keys() & column.keys():
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


def _is_none(tree: ast.expr) -> bool:
    return isinstance(tree, ast.Constant) and tree.value is None


def _same(attribute: Any, value: Any) -> bool:
    return type(attribute) in (int, float, bool, str, tuple, list) and repr(attribute) == repr(value)


def _long_words(equal: "Sequence[Noted]") -> list[str]:
    """Return what literals are called, with the attributes that they are for."""
    return list(dict.fromkeys(noted.word[1] for noted in equal if noted.word))


def _is_dim(word: str) -> bool:
    return word in DIM_WORDS or word in ("size", "dim")


def _is_of_layer(equal: "Sequence[Noted]") -> bool:
    """Return whether one of these is an argument of a layer of mlx.nn, or the shape of a weight."""
    return any(noted.word is not None and noted.word[2] for noted in equal)


def _words_in_init(tree: ast.AST) -> Iterator[tuple[int, Word]]:
    """Yield what the calls around literals call them, by their `id`."""
    target = ast.unparse(tree.targets[0]).rpartition(".")[2] if isinstance(tree, ast.Assign) else ""
    target = target if target.isidentifier() else ""
    is_list = isinstance(tree, ast.Assign) and isinstance(tree.value, ast.ListComp)  # else it has other items too
    for part in ast.walk(tree):
        if not isinstance(part, ast.Call):
            continue
        function = getattr(part.func, "attr", "")
        words = LAYER_ARGUMENTS.get(function, ())
        named = [*zip(words, part.args, strict=False), *((k.arg, k.value) for k in part.keywords if k.arg)]
        if isinstance(part.func, ast.Name) and part.func.id == "range" and is_list:
            named += [(f"num_{target}", arg) for arg in part.args]
        elif function == "zeros":
            named += [("size", arg) for arg in part.args]
        for word, value in named:
            for item in [value, *getattr(value, "elts", ())]:
                yield id(item), (word, f"{target}_{word}" if target else word, bool(function))


def _words_in_method(tree: ast.AST) -> Iterator[tuple[int, Word]]:
    """Yield what literals in a method are that may be sizes, by their `id`: lengths of axes, scales, eps."""
    for part in ast.walk(tree):
        if isinstance(part, ast.BinOp) and isinstance(part.op, ast.Mult | ast.Div):
            factors = [side for side in (part.left, part.right) if isinstance(literal_value(side), float)]
            yield from ((id(side), ("scale", "scale", False)) for side in factors)
        if not isinstance(part, ast.Call):
            continue
        function = part.func.attr if isinstance(part.func, ast.Attribute) else getattr(part.func, "id", "")
        if function in SHAPED:
            for arg in part.args:
                yield from ((id(item), ("size", "size", False)) for item in getattr(arg, "elts", ()))
        named = [(keyword.arg, keyword.value) for keyword in part.keywords if keyword.arg in SIZE_KEYWORDS]
        named += [("eps", part.args[3])] if function == "layer_norm" and len(part.args) == 4 else []
        named += [("eps", part.args[2])] if function == "rms_norm" and len(part.args) == 3 else []
        for word, value in named:
            yield id(value), (str(word), str(word), False)
