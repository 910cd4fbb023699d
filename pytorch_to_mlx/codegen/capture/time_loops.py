"""Find the axes that a module loops over in Python, and capture its loops as loops."""

import copy
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from ..graph import Graph, Meta, Node
from .captured import Captured
from .failures import EXPORT_FAILURES
from .roll import NoLoop, Rolled, roll
from .watch import seeded, unchanged

Axes = tuple[tuple[int, int], ...]  # axes that are as long as each other: (place among the tensors, axis)
Capture = Callable[[tuple, dict[str, Any]], Captured | None]
MOST_LOOPS = 2  # axes with loops: each doubles the number of captures


@dataclass(frozen=True)
class _Example:
    """Example inputs, to be made longer."""

    args: tuple
    kwargs: dict[str, Any]

    def longer(self, groups: Sequence[Axes]) -> tuple[tuple, dict[str, Any]]:
        """Return the inputs with every axis of some groups longer by one."""
        flat, spec = pytree.tree_flatten((self.args, self.kwargs))
        places = [i for i, item in enumerate(flat) if isinstance(item, torch.Tensor)]
        for place, axis in itertools.chain.from_iterable(groups):
            item = flat[places[place]]
            flat[places[place]] = torch.cat([item, item.narrow(axis, 0, 1)], axis)
        return pytree.tree_unflatten(flat, spec)


def capture_loops(captured: Captured, module: nn.Module, args: tuple, kwargs: dict[str, Any], again: Capture) -> None:
    """Put loops where a capture has one round after the other for each place of an axis. Changes `captured`.

    again: captures the module on other inputs, and returns None where it cannot. Where the rounds are not those of a
    loop, the capture stays as it is.
    """
    example = _Example(args, kwargs)
    groups = list(itertools.islice(_axes_with_loops(captured, module, example), MOST_LOOPS))
    if not groups:
        return
    weights = captured.weights

    def graph_at(grown: Sequence[Axes]) -> Graph:
        if not grown:
            return captured.graph
        other = again(*example.longer(grown))
        if other is None:
            raise NoLoop("the longer example cannot be captured")
        _check_weights(weights, other.weights)
        return other.graph

    def rolled(left: Sequence[Axes], grown: Sequence[Axes]) -> Rolled:
        if not left:
            graph = graph_at(grown)
            return Rolled(graph, {node: node for node in graph.nodes}, {})
        *rest, group = left
        short, long = rolled(rest, grown), rolled(rest, [*grown, group])
        result = roll(short.graph, long.graph, sizes[group], f"loop{len(rest)}")
        nodes = {old: result.nodes[new] for old, new in short.nodes.items() if new in result.nodes}
        return Rolled(result.graph, nodes, short.indices | result.indices)

    sizes = {group: captured.graph.inputs()[group[0][0]].meta.shape[group[0][1]] for group in groups}
    for wanted in [groups, *([group] for group in groups)] if len(groups) > 1 else [groups]:
        try:
            result = rolled(wanted, [])
            updates = {name: result.nodes[node] for name, node in captured.updates.items()}
        except NoLoop:
            continue
        captured.unrolled = captured.graph, captured.updates
        captured.graph, captured.updates, captured.indices = result.graph, updates, result.indices
        return


def _axes_with_loops(captured: Captured, module: nn.Module, example: _Example) -> Iterator[Axes]:
    """Yield the axes that the capture fixed, and of which the module runs more ops when they are longer."""
    n_ops: int | None = None
    looped: set[tuple[int, int]] = set()
    for group in _fixed_axes(captured.graph.inputs()):
        if looped & set(group):
            continue
        try:
            if n_ops is None:
                n_ops = _count_ops(module, *example.longer([]))
            grows = _count_ops(module, *example.longer([group])) > n_ops
        except EXPORT_FAILURES:  # the original takes no other length
            continue
        if grows:
            looped |= set(group)
            yield group


def _fixed_axes(inputs: Sequence[Node]) -> list[Axes]:
    """Return the axes of one length: each alone, then those of equal length at the same place, then at any."""
    sizes = {
        (place, axis): size
        for place, node in enumerate(inputs)
        if isinstance(node.meta, Meta)
        for axis, size in enumerate(node.meta.shape)
        if isinstance(size, int) and size > 1
    }
    groups: dict[Axes, None] = dict.fromkeys((axis,) for axis in sizes)
    for key in (lambda item: (item[1], item[0][1]), lambda item: item[1]):
        for value in dict.fromkeys(map(key, sizes.items())):
            groups.setdefault(tuple(axis for axis, size in sizes.items() if key((axis, size)) == value))
    return list(groups)


class _Counter(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: Any = None) -> Any:
        self.count += 1
        return func(*args, **(kwargs or {}))


def _count_ops(module: nn.Module, args: tuple, kwargs: dict[str, Any]) -> int:
    """Return how many ops a run takes."""
    with torch.no_grad(), unchanged(module), seeded(), _Counter() as counter:
        module(*copy.deepcopy(args), **copy.deepcopy(kwargs))
    return counter.count


def _check_weights(short: dict[str, torch.Tensor], long: dict[str, torch.Tensor]) -> None:
    """Raise NoLoop for a tensor that the code made for one length alone."""
    for name, tensor in short.items():
        if name not in long or (long[name] is not tensor and not torch.equal(long[name], tensor)):
            raise NoLoop(f"{name} depends on the length")
