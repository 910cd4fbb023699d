"""Run a graph eagerly on MLX, node by node, with the lowerings of the op table."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import mlx.core as mx

from ..graph import Graph, Meta, Node, Sym, Unsupported, transform
from .ops import lower
from .sizes import substitute_sizes


def learn_sizes(meta: Any, value: Any, sizes: dict[Any, Any]) -> None:
    """Record the dynamic sizes that a value shows: a dimension of an array, or a number read from one."""
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
    """Return an announced result with numbers for its dynamic sizes, as far as `sizes` has them."""
    if isinstance(meta, Meta):
        return Meta(tuple(_resolve_size(size, sizes) for size in meta.shape), meta.dtype_name)
    return [resolve(part, sizes) for part in meta] if isinstance(meta, list | tuple) else meta


def _resolve_size(size: Any, sizes: Mapping[Any, Any]) -> Any:
    if isinstance(size, int):
        return size
    value = substitute_sizes(size, sizes)
    return int(value) if value.is_number else value


def evaluate(symbol: Sym, sizes: Mapping[Any, Any]) -> int | float:
    """Return the number that a symbolic size stands for. Raises: Unsupported if `sizes` lacks one of its symbols."""
    value = substitute_sizes(symbol.expr, sizes)
    if not value.is_number:
        raise Unsupported(f"the size {value} depends on data")
    return int(value) if value.is_integer else float(value)


def run(
    graph: Graph,
    inputs: Sequence[mx.array],
    weights: Mapping[str, mx.array] | None = None,
    watch: Callable[[Node, Any], None] | None = None,
    noise: Sequence[mx.array] = (),
) -> Any:
    """Run the graph and return its outputs. `watch` sees every node's value. noise: of its draws; none: drawn anew.

    Shapes: inputs and weights (by dotted name) as the graph announces them.
    Raises: Unsupported for an op or an argument that has no lowering.
    """
    weights = weights or {}
    sizes: dict[Any, Any] = {}
    values: dict[Node, Any] = {}
    unread = iter(inputs)
    n_uses_left = {node: len(users) for node, users in graph.users().items()}

    def fill_in(tree: Any) -> Any:
        return transform(tree, (Node, Sym), lambda x: values[x] if isinstance(x, Node) else evaluate(x, sizes))

    for node in graph.nodes:
        if node.op == "input":
            value: Any = next(unread)
        elif node.op == "weight":
            value = weights[node.args[0]]
        elif node.op == "constant":
            value = node.args[0]
        elif node.op == "noise":
            value = noise[node.args[2]] if noise else None
        elif node.op == "output":
            return fill_in(node.args[0])
        else:
            value = step(node, fill_in(node.args), fill_in(node.kwargs), sizes)
        if node.op == "getitem" and value is None and n_uses_left[node]:
            raise Unsupported(f"result {node.args[1]} of {node.args[0].op} is not implemented")
        values[node] = value
        learn_sizes(node.meta, value, sizes)
        if watch:
            watch(node, value)
        for source in dict.fromkeys(node.inputs()):
            n_uses_left[source] -= 1
            if not n_uses_left[source]:
                del values[source]
    raise Unsupported("a graph without an output")


def step(node: Node, args: tuple, arguments: dict[str, Any], sizes: Mapping[Any, Any]) -> Any:
    """Return the value of one node. Raises: Unsupported, with the node's place in the original model."""
    if node.op == "getitem":
        return args[0][args[1]]
    try:
        return lower(node.op, arguments, resolve(node.meta, sizes))
    except Unsupported as error:
        raise error.at(node) from error
