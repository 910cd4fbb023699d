"""Run a graph eagerly on MLX, node by node, with the lowerings of the op table."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import mlx.core as mx

from .graph import Graph, Meta, Node, Sym, transform
from .ops import lower
from .unsupported import Unsupported


def bind_sizes(graph: Graph, inputs: Sequence[mx.array]) -> dict[Any, int]:
    """The value of every dynamic size that is a dimension of an input."""
    sizes: dict[Any, int] = {}
    for node, value in zip(graph.inputs(), inputs, strict=True):
        if isinstance(node.meta, Meta):
            for size, actual in zip(node.meta.shape, value.shape, strict=True):
                if not isinstance(size, int) and size.is_Symbol:
                    sizes[size] = actual
    return sizes


def evaluate(symbol: Sym, sizes: Mapping[Any, Any]) -> int | float:
    """The number a symbolic size stands for."""
    value = symbol.expr.subs(sizes)
    if not value.is_number:
        raise Unsupported(f"the size {value} depends on data")
    return int(value) if value.is_integer else float(value)


def run(
    graph: Graph,
    inputs: Sequence[mx.array],
    weights: Mapping[str, mx.array] | None = None,
    watch: Callable[[Node, Any], None] | None = None,
) -> Any:
    """The graph's outputs on these inputs. `watch` sees every node's value."""
    weights = weights or {}
    sizes = bind_sizes(graph, inputs)
    values: dict[Node, Any] = {}
    waiting = list(inputs)
    left = {node: len(users) for node, users in graph.users().items()}

    def take(tree: Any) -> Any:
        return transform(tree, (Node, Sym), lambda x: values[x] if isinstance(x, Node) else evaluate(x, sizes))

    for node in graph.nodes:
        if node.op == "input":
            value: Any = waiting.pop(0)
        elif node.op == "weight":
            value = weights[node.args[0]]
        elif node.op == "constant":
            value = node.args[0]
        elif node.op == "output":
            return take(node.args[0])
        else:
            value = step(node, take(node.args), take(node.kwargs))
        values[node] = value
        if watch:
            watch(node, value)
        for used in dict.fromkeys(node.inputs()):
            left[used] -= 1
            if not left[used]:
                del values[used]
    raise Unsupported("a graph without an output")


def step(node: Node, args: tuple, arguments: dict[str, Any]) -> Any:
    """The value of one node. An Unsupported error is raised again with the node's place in the original model."""
    if node.op == "getitem":
        return args[0][args[1]]
    try:
        return lower(node.op, arguments, node.meta)
    except Unsupported as error:
        raise place(error, node) from error


def place(error: Unsupported, node: Node) -> Unsupported:
    """The same error with op, module and source line."""
    where = " ".join(part for part in (node.where, f"(in module {node.module})" if node.module else "") if part)
    return Unsupported(error.what, where=where or node.name, fix=error.fix)
