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
    """A constructor argument that tells variants apart. values: by variant, those of its instances.

    value: the condition is whether the argument equals it; None: whether it is true.
    """

    name: str
    values: tuple[tuple[Any, ...], ...]
    value: Any = None

    def condition(self, *, of_self: bool) -> Condition:
        """Return the condition in a method, or in the constructor itself."""
        name = safe_name(self.name)
        tree: ast.expr = ast.Attribute(ast.Name("self"), name) if of_self else ast.Name(name)
        if self.value is None:
            return Condition(tree, tuple(bool(values[0]) for values in self.values), flag=self.name)
        truth = tuple(values[0] == self.value for values in self.values)
        return Condition(ast.Compare(tree, [ast.Eq()], [to_tree(self.value)]), truth, flag=self.name)


def find_flags(variants: Sequence[Sequence[Instance]], modules: Mapping[str, Any]) -> list[Flag]:
    """Return flags, the plainest first, that differ between variants; one for every way to divide them."""
    flags: list[Flag] = []
    divisions: set[tuple[bool, ...]] = set()
    kinds = [_attributes(variants, modules, kind) for kind in (bool, str, int)]
    for flag in [*kinds[0], *_children(variants), *kinds[1], *_functions(variants, modules), *kinds[2]]:
        truth = flag.condition(of_self=True).truth
        if len(set(truth)) > 1 and truth not in divisions:
            divisions |= {truth, tuple(not one for one in truth)}
            flags.append(flag)
    return flags


def _attributes(variants: Sequence[Sequence[Instance]], modules: Mapping[str, Any], kind: type) -> Iterator[Flag]:
    """Yield the attributes of the originals that say the same in all instances of each variant."""
    originals = [[modules.get(instance.place.path) for instance in instances] for instances in variants]
    if any(original is None for group in originals for original in group):
        return
    taken = {safe_name(name) for instances in variants for name in instances[0].place.children}
    for name, first in vars(originals[0][0]).items():
        if type(first) is not kind or name.startswith("_") or name == "training" or safe_name(name) in taken:
            continue
        values = tuple(tuple(getattr(original, name, None) for original in group) for group in originals)
        if not all(type(value) is kind for group in values for value in group):
            continue
        if kind is str:
            alike = all(len(set(group)) == 1 for group in values)
            yield from (Flag(name, values, group[0]) for group in dict.fromkeys(values) if alike)
        elif all(len(set(map(bool, group))) == 1 for group in values):  # a number is 0 where something is off
            yield Flag(name, values)


def _children(variants: Sequence[Sequence[Instance]]) -> Iterator[Flag]:
    """Yield a flag for every child that some variants have and others have not."""
    children = [instances[0].place.children for instances in variants]
    for name in dict.fromkeys(name for one in children for name in one):
        values = tuple((name in one,) * len(instances) for one, instances in zip(children, variants, strict=True))
        yield Flag(f"has_{safe_name(name)}", values)


def _functions(variants: Sequence[Sequence[Instance]], modules: Mapping[str, Any]) -> Iterator[Flag]:
    """Yield flags that name the function, or the class of the submodule without weights, that an original calls."""
    originals = [[modules.get(instance.place.path) for instance in instances] for instances in variants]
    if any(original is None for group in originals for original in group):
        return
    taken = {safe_name(name) for instances in variants for name in instances[0].place.children}
    for name in (*vars(originals[0][0]), *vars(originals[0][0]).get("_modules", ())):
        if name.startswith("_") or safe_name(name) in taken:
            continue
        values = tuple(
            tuple(_function_name(getattr(original, name, None)) for original in group) for group in originals
        )
        if all(len(set(group)) == 1 and group[0] for group in values):
            argument = f"layer_{name}" if name.isdigit() else name
            yield from (Flag(argument, values, group[0]) for group in dict.fromkeys(values))


def _function_name(value: Any) -> str:
    """Return the name of a function, or of the class of a submodule; "" for anything else."""
    if hasattr(value, "_modules"):
        return type(value).__name__
    return getattr(value, "__name__", "") if callable(value) else "none" if value is None else ""
