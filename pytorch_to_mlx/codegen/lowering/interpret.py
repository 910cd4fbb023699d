"""Run a graph eagerly on MLX, node by node, with the lowerings of the op table."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import mlx.core as mx

from ..graph import Graph, Meta, Node, Sym, Unsupported, transform
from .ops import lower
from .sizes import at


def learn_sizes(meta: Any, value: Any, sizes: dict[Any, Any]) -> None:
    """Note every dynamic size that a value shows: a dimension of an array, or a number read from one."""
    if isinstance(meta, Meta) and isinstance(value, mx.array):
        for size, actual in zip(meta.shape, value.shape, strict=True):
            if not isinstance(size, int) and size not in sizes and size.is_Symbol:
                sizes[size] = actual
    elif isinstance(meta, Sym) and meta.expr.is_Symbol:
        sizes[meta.expr] = value
    elif isinstance(meta, list | tuple) and isinstance(value, list | tuple):
        for part, item in zip(meta, value, strict=True):
            learn_sizes(part, item, sizes)


def resolve(meta: Any, sizes: Mapping[Any, Any]) -> Any:
    """An announced shape with numbers for its dynamic sizes, as far as they are known."""
    if isinstance(meta, Meta):
        shape = []
        for size in meta.shape:
            value = size if isinstance(size, int) else at(size, sizes)
            shape.append(int(value) if isinstance(size, int) or value.is_number else value)
        return Meta(tuple(shape), meta.dtype_name)
    return [resolve(part, sizes) for part in meta] if isinstance(meta, list | tuple) else meta


def evaluate(symbol: Sym, sizes: Mapping[Any, Any]) -> int | float:
    """The number a symbolic size stands for."""
    value = at(symbol.expr, sizes)
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
    sizes: dict[Any, Any] = {}
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
            value = step(node, take(node.args), take(node.kwargs), sizes)
        if node.op == "getitem" and value is None and left[node]:
            raise Unsupported(f"result {node.args[1]} of {node.args[0].op} is not implemented")
        values[node] = value
        learn_sizes(node.meta, value, sizes)
        if watch:
            watch(node, value)
        for used in dict.fromkeys(node.inputs()):
            left[used] -= 1
            if not left[used]:
                del values[used]
    raise Unsupported("a graph without an output")


def step(node: Node, args: tuple, arguments: dict[str, Any], sizes: Mapping[Any, Any]) -> Any:
    """The value of one node. An Unsupported error is raised again with the node's place in the original model."""
    if node.op == "getitem":
        return args[0][args[1]]
    try:
        return lower(node.op, arguments, resolve(node.meta, sizes))
    except Unsupported as error:
        raise error.at(node) from error
