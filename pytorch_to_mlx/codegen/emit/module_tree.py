"""The tree of what a generated model holds: modules, layers, weights, and containers of others."""

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from ..graph import Meta
from ..paths import is_module_list
from .draft import Draft
from .layers import Layer
from .literals import scan
from .naming import Method


@dataclass
class Place:
    """A name in the module tree: a generated module, a layer, a weight, or only a container of others.

    drafts: the methods of a generated module. construct: the expression that makes one, once its class is known.
    is_loop: a list that is written as if it had many items, because it has in another instance of its owner's class.
    """

    path: str
    children: dict[str, "Place"] = field(default_factory=dict)
    layer: Layer | None = None
    weight: Meta | None = None
    drafts: list[Draft] = field(default_factory=list)
    construct: ast.expr | None = None
    is_loop: bool = False

    @property
    def is_generated(self) -> bool:
        """Return whether this is a module with code of its own."""
        return bool(self.drafts)

    @property
    def is_list(self) -> bool:
        """Return whether this is a container with numbered children only."""
        is_container = not self.is_generated and self.layer is None and self.weight is None
        return is_container and bool(self.children) and all(name.isdigit() for name in self.children)

    def walk(self) -> Iterator["Place"]:
        """Yield this place and all below, children first."""
        for child in self.children.values():
            yield from child.walk()
        yield self


@dataclass
class Instance:
    """A generated module before its class is known. init: the statements that make its children and constants."""

    place: Place
    init: list[ast.stmt]
    methods: list[Method]

    def method(self, name: str) -> Method | None:
        """Return the method of this name."""
        return next((method for method in self.methods if method.name == name), None)

    def trees(self) -> list[ast.AST]:
        """Return all its code, as statements and results."""
        return [*self.init, *(part for method in self.methods for part in (*method.statements, *method.results))]

    def literals(self) -> list[ast.expr]:
        """Return the literals in the code, in order."""
        return [literal for tree in self.trees() for literal in scan(tree)[1]]

    def skeleton(self) -> str:
        """Return the code with its literals blanked: equal for instances that differ in nothing else."""
        shape = [[method.name, len(method.statements), *method.args] for method in self.methods]
        return "\n".join([str(shape), *(scan(tree)[0] for tree in self.trees())])


def build_module_tree(
    drafts: Mapping[str, list[Draft]],
    layers: Mapping[str, Layer],
    weights: Mapping[str, Meta],
    order: Mapping[str, int],
) -> Place:
    """Return the root of the tree. All by dotted name in the original. order: the place of a name among siblings."""
    root = Place("")
    names = [*drafts, *layers, *(name for name in weights if name.rpartition(".")[0] not in layers)]
    for name in sorted(dict.fromkeys(names), key=lambda n: (order.get(n, len(order)), n)):
        place = root
        for depth, part in enumerate(name.split(".") if name else []):
            path = ".".join(name.split(".")[: depth + 1])
            if part.isdigit() and is_module_list(place.path):
                place = place.children.setdefault("layers", Place(f"{place.path}.layers".removeprefix(".")))
            place = place.children.setdefault(part, Place(path))
        place.drafts = drafts.get(name, [])
        place.layer = layers.get(name)
        place.weight = weights.get(name) if name not in drafts and name not in layers else None
    return root
