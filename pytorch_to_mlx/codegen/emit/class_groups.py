"""Which modules are instances of one class, and in which order classes are written."""

from collections.abc import Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter

from .layers import DEFAULTS, Layer
from .module_tree import Place

Group = tuple[str, int]  # torch class, and height for classes whose instances lie in each other, else 0


def group_places(root: Place, class_names: Mapping[str, str]) -> Iterator[tuple[str, list[Place]]]:
    """Yield each torch class with its instances, after the classes of all modules inside of them."""
    places = [place for place in root.walk() if place.is_generated]
    heights: dict[str, int] = {}
    for place in root.walk():
        heights[place.path] = 1 + max((heights[child.path] for child in place.children.values()), default=0)
    nested: set[str] = set()
    while True:
        groups: dict[Group, list[Place]] = {}
        for place in sorted(places, key=lambda place: heights[place.path]):
            groups.setdefault(_group(place, class_names, nested, heights), []).append(place)
        inside: dict[Group, set[Group]] = {
            group: {
                _group(child, class_names, nested, heights)
                for place in members
                for child in place.walk()
                if child.is_generated and child is not place
            }
            for group, members in groups.items()
        }
        try:
            order = list(TopologicalSorter(inside).static_order())
        except CycleError as error:
            nested |= {name for name, _ in error.args[1]}
            continue
        for group in order:
            yield group[0], groups[group]
        return


def _group(place: Place, class_names: Mapping[str, str], nested: set[str], heights: Mapping[str, int]) -> Group:
    name = class_names[place.path]
    return name, heights[place.path] if name in nested else 0


def give_options(places: Sequence[Place]) -> None:
    """Write out default options of layers where another instance of the class has the same layer with other ones."""
    layers: dict[tuple[str, str], list[Layer]] = {}
    for place in places:
        for name, layer in _layers(place):
            layers.setdefault((name, layer.class_name), []).append(layer)
    for equal in layers.values():
        names = dict.fromkeys(name for layer in equal for name in layer.options)
        for layer in equal:
            if names.keys() - layer.options.keys() <= DEFAULTS.keys():
                options = {name: layer.options.get(name, DEFAULTS.get(name)) for name in names}
                layer.options.clear()
                layer.options.update(options)


def mark_loops(places: Sequence[Place]) -> None:
    """Let lists of one item be written as loops where another instance of the class has more items."""
    lists: dict[str, list[Place]] = {}
    for place in places:
        for name, child in _lists(place):
            lists.setdefault(name, []).append(child)
    for equal in lists.values():
        if any(len(one.children) > 1 for one in equal):
            for one in equal:
                one.is_loop = True


def _lists(place: Place, prefix: str = "") -> Iterator[tuple[str, Place]]:
    """Yield the lists that a module makes itself, by their names in it."""
    for name, child in place.children.items():
        if child.is_list:
            yield f"{prefix}.{name}", child
        if not child.is_generated and child.layer is None and child.weight is None:
            yield from _lists(child, f"{prefix}.{name}")


def _layers(place: Place, prefix: str = "") -> Iterator[tuple[str, Layer]]:
    """Yield the layers that a module makes itself, by their names in it."""
    for name, child in place.children.items():
        if child.layer is not None and child.layer.user_module is None:
            yield f"{prefix}.{name}", child.layer
        elif not child.is_generated and child.weight is None:
            yield from _layers(child, f"{prefix}.{name}")
