"""What the example's own run shows of sizes that depend on data, and of the masks and places that they come from."""

from collections.abc import Iterator
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.fx import Node as FxNode
from torch.utils import _pytree as pytree

from ..lowering.sizes import Hints
from .fx_graph import SYMBOLIC, is_size
from .tensors import to_mlx
from .watch import Values


def learn_example(hints: Hints, program: ExportedProgram, flat_inputs: list[Any]) -> None:
    """Set `data` and `arrays` of the hints, by a run of the program on its example inputs."""
    sized = {node for node in program.graph.nodes if _data_symbols(node, hints) and not is_size(node)}
    dependent = {
        node
        for node in program.graph.nodes
        if node in sized or sized.intersection(node.all_input_nodes) or _reads_mask(node)
    }
    if not dependent:
        return
    sources = {source.name for node in dependent for source in node.all_input_nodes if _is_whole(source)}
    values = Values(program, sources | {node.name for node in sized}).compute(flat_inputs)
    hints.arrays = {name: to_mlx(values[name]) for name in sources}
    hints.data = {
        symbol: number
        for node in sized
        for value, actual in zip(_leaves(node), pytree.tree_leaves(values[node.name]), strict=True)
        for symbol, number in _numbers(value, actual)
        if symbol not in hints
    }


def _leaves(node: FxNode) -> list[Any]:
    return pytree.tree_leaves(node.meta.get("val"))


def _data_symbols(node: FxNode, hints: Hints) -> set[Any]:
    """Return the symbols of a node's value that the sizes of the inputs do not give."""
    symbols: set[Any] = set()
    for value in _leaves(node):
        sizes = value.shape if isinstance(value, torch.Tensor) else (value,)
        symbols |= {symbol for size in sizes if isinstance(size, SYMBOLIC) for symbol in size.node.expr.free_symbols}
    return symbols - hints.keys()


def _reads_mask(node: FxNode) -> bool:
    """Tell whether a node picks or sets elements by masks."""
    indices = node.args[1] if "index" in str(node.target) and len(node.args) > 1 else ()
    masks = indices if isinstance(indices, list | tuple) else ()
    return any(isinstance(item, FxNode) and item.meta["val"].dtype == torch.bool for item in masks)


def _is_whole(node: FxNode) -> bool:
    """Tell whether a node's value is a tensor of whole numbers or booleans."""
    value = node.meta.get("val")
    return isinstance(value, torch.Tensor) and not value.is_floating_point() and not value.is_complex()


def _numbers(value: Any, actual: Any) -> Iterator[tuple[Any, Any]]:
    """Yield each symbol of a value, and the number that it stands for in the example."""
    pairs = zip(value.shape, actual.shape, strict=True) if isinstance(value, torch.Tensor) else [(value, actual)]
    for size, number in pairs:
        if isinstance(size, torch.SymBool):  # Eq(u0, 1)
            yield from ((symbol, int(number)) for symbol in size.node.expr.free_symbols)
        elif isinstance(size, SYMBOLIC) and size.node.expr.is_Symbol:
            yield size.node.expr, number
