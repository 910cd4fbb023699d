"""Graphs of the generator, written by hand: nodes with shapes, without torch."""

from typing import Any

from pytorch_to_mlx.codegen.emit.call_tree import Call, call_tree, connect
from pytorch_to_mlx.codegen.graph import Frame, Graph, Meta, Node


def node(name: str, op: str, shape: tuple = (2, 4), dtype: str = "float32", path: str = "", **kwargs: Any) -> Node:
    """Return an op of the module at `path` (its first call), or an input."""
    parts = path.split(".") if path else []
    stack = tuple(Frame(".".join(parts[: i + 1]), 0, f"toys.{part.title()}") for i, part in enumerate(parts))
    return Node(name, op if op == "input" else f"aten.{op}", (), kwargs, Meta(shape, dtype), stack)


def weight(name: str, shape: tuple = (4,)) -> Node:
    return Node(name.replace(".", "_"), "weight", (name,), meta=Meta(shape, "float32"))


def graph(*nodes: Node, outputs: tuple = ()) -> Graph:
    """Return a graph that returns its last node, or `outputs`."""
    return Graph([*nodes, Node("output", "output", (outputs or (nodes[-1],),))])


def calls(whole: Graph) -> Call:
    """Return the tree of module calls, with inputs and outputs."""
    root = call_tree(whole, "toys.Root")
    connect(root, whole)
    root.outputs = list(whole.output.args[0])
    return root


def call(path: str, *nodes: Node, inputs: tuple = (), class_name: str = "toys.Toy") -> Call:
    """Return one call of a module that returns its last node."""
    return Call(path, 0, class_name, list(nodes), list(inputs), [nodes[-1]])
