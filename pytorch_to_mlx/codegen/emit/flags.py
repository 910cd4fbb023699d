"""What tells the variants of a class apart in its constructor: attributes of the original, or which children exist."""

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..lowering.recorder import to_tree
from ..paths import safe_name
from .module_tree import Instance
from .variants import Condition


@dataclass(frozen=True)
class Flag:
    """A constructor argument that is the same in every instance of a variant. values: by variant.

    value: the test is whether the argument equals it; None: whether it is true.
    """

    name: str
    values: tuple[Any, ...]
    value: Any = None

    def condition(self, *, of_self: bool) -> Condition:
        """Return the test in a method, or in the constructor itself."""
        name = safe_name(self.name)
        tree: ast.expr = ast.Attribute(ast.Name("self"), name) if of_self else ast.Name(name)
        if self.value is None:
            return Condition(tree, tuple(map(bool, self.values)), flag=self.name)
        truth = tuple(value == self.value for value in self.values)
        return Condition(ast.Compare(tree, [ast.Eq()], [to_tree(self.value)]), truth, flag=self.name)


def find_flags(variants: Sequence[Sequence[Instance]], modules: Mapping[str, Any]) -> list[Flag]:
    """Return flags, the plainest first, that differ between variants; one for every way to divide them."""
    flags: list[Flag] = []
    divisions: set[tuple[bool, ...]] = set()
    for flag in [*_attributes(variants, modules, bool), *_children(variants), *_attributes(variants, modules, str)]:
        truth = flag.condition(of_self=True).truth
        if len(set(truth)) > 1 and truth not in divisions:
            divisions |= {truth, tuple(not one for one in truth)}
            flags.append(flag)
    return flags


def _attributes(variants: Sequence[Sequence[Instance]], modules: Mapping[str, Any], kind: type) -> Iterator[Flag]:
    """Yield the attributes of the originals that have one value in each variant."""
    originals = [[modules.get(instance.place.path) for instance in instances] for instances in variants]
    if any(original is None for group in originals for original in group):
        return
    taken = {safe_name(name) for instances in variants for name in instances[0].place.children}
    for name, first in vars(originals[0][0]).items():
        if type(first) is not kind or name.startswith("_") or name == "training" or safe_name(name) in taken:
            continue
        values = [{repr(getattr(original, name, None)) for original in group} for group in originals]
        if any(len(group) > 1 for group in values):
            continue
        ones = tuple(getattr(group[0], name, None) for group in originals)
        if not all(type(value) is kind for value in ones):
            continue
        if kind is bool:
            yield Flag(name, ones)
        else:
            yield from (Flag(name, ones, value) for value in dict.fromkeys(ones))


def _children(variants: Sequence[Sequence[Instance]]) -> Iterator[Flag]:
    """Yield a flag for every child that some variants have and others have not."""
    children = [instances[0].place.children for instances in variants]
    for name in dict.fromkeys(name for one in children for name in one):
        yield Flag(f"has_{safe_name(name)}", tuple(name in one for one in children))
