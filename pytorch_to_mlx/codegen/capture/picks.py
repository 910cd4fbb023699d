"""The parts of `unbind` and of equal `split`, as one op for each part, where it is used."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ..graph import Graph, Node, transform

_WHOLES = ("aten.unbind.int", "aten.split.Tensor", "aten.split_with_sizes.default")


def picks_at_use(graph: Graph) -> tuple[Graph, dict[Node, Node]]:
    """Return a copy in which each part is a select or a slice of its own, and the copy of every node."""
    copies: dict[Node, Node] = {}
    waiting: set[Node] = set()  # parts that nothing has used yet
    nodes: list[Node] = []
    for node in graph.nodes:
        args, kwargs = transform((node.args, node.kwargs), Node, copies.__getitem__)
        copy = copies[node] = replace(node, args=args, kwargs=kwargs)
        if copy.op == "getitem" and (pick := _pick(copy)):
            copy.op, copy.args, copy.kwargs = pick[0], (), pick[1]
            waiting.add(copy)
            continue
        for part in dict.fromkeys(copy.inputs()):
            if part in waiting:
                waiting.remove(part)
                nodes.insert(_before_call(nodes, copy, part), part)
        nodes.append(copy)
    used = {value for node in nodes for value in node.inputs()}
    return Graph([node for node in nodes if node.op not in _WHOLES or node in used]), copies


def _pick(node: Node) -> tuple[str, dict[str, Any]] | None:
    """Return the op and the arguments that compute one part alone."""
    whole, place = node.args
    if whole.op not in _WHOLES:
        return None
    x, dim = whole.kwargs["x"], whole.kwargs.get("dim", 0)
    if whole.op == "aten.unbind.int":
        return "aten.select.int", {"x": x, "dim": dim, "index": place}
    sizes = {meta.shape[dim] for meta in whole.meta}
    size = sizes.pop()
    if sizes or not isinstance(size, int):
        return None
    return "aten.slice.Tensor", {"x": x, "dim": dim, "start": place * size, "end": (place + 1) * size}


def _before_call(nodes: Sequence[Node], user: Node, part: Node) -> int:
    """Return where a part is computed: before the call of the submodule that uses it first."""
    depth, place = len(part.stack), len(nodes)
    while place and len(user.stack) > depth and nodes[place - 1].stack[: depth + 1] == user.stack[: depth + 1]:
        place -= 1
    return place
