"""Everything that generated code keeps, as a tree: modules, layers, weights, and containers of others."""

import ast
import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from ..graph import Meta
from ..paths import has_layers
from .layers import Leaf
from .naming import Body
from .writer import Written


@dataclass
class Place:
    """A name in the module tree: a generated module, a layer, a weight, or only a container of others."""

    path: str
    children: dict[str, "Place"] = field(default_factory=dict)
    leaf: Leaf | None = None
    weight: Meta | None = None
    bodies: list[Written] = field(default_factory=list)
    class_name: str = ""
    construct: ast.expr | None = None

    @property
    def generated(self) -> bool:
        return bool(self.bodies)

    @property
    def is_list(self) -> bool:
        plain = not self.generated and self.leaf is None and self.weight is None
        return plain and bool(self.children) and all(name.isdigit() for name in self.children)

    def walk(self) -> Iterator["Place"]:
        """This place and all below, deepest first."""
        for child in self.children.values():
            yield from child.walk()
        yield self


@dataclass
class Instance:
    """A generated module before its class is known."""

    place: Place
    init: list[ast.stmt]
    bodies: list[Body]

    def trees(self) -> list[ast.AST]:
        return [*self.init, *(part for body in self.bodies for part in (*body.statements, *body.results))]

    def numbers(self) -> list[ast.Constant]:
        """The numbers in the code, in order."""
        return [
            part
            for tree in self.trees()
            for part in ast.walk(tree)
            if isinstance(part, ast.Constant) and type(part.value) in (int, float)
        ]

    def skeleton(self) -> str:
        """The code with its numbers blanked."""
        trees = copy.deepcopy(self.trees())
        for tree in trees:
            for part in ast.walk(tree):
                if isinstance(part, ast.Constant) and type(part.value) in (int, float):
                    part.value = 0
        shape = [[body.method, len(body.statements), *body.args] for body in self.bodies]
        return "\n".join([str(shape), *(ast.dump(tree) for tree in trees)])


def place_tree(
    bodies: Mapping[str, list[Written]],
    leaves: Mapping[str, Leaf],
    weights: Mapping[str, Meta],
    order: Mapping[str, int],
) -> Place:
    """The tree of everything that generated code keeps, in the order in which the original declares it."""
    root = Place("")
    names = [*bodies, *leaves, *(name for name in weights if name.rpartition(".")[0] not in leaves)]
    for name in sorted(dict.fromkeys(names), key=lambda n: (order.get(n, len(order)), n)):
        place = root
        for depth, part in enumerate(name.split(".") if name else []):
            path = ".".join(name.split(".")[: depth + 1])
            if part.isdigit() and has_layers(place.path):
                place = place.children.setdefault("layers", Place(f"{place.path}.layers".removeprefix(".")))
            place = place.children.setdefault(part, Place(path))
        place.bodies = bodies.get(name, [])
        place.leaf = leaves.get(name)
        place.weight = weights.get(name) if name not in bodies and name not in leaves else None
    return root
