"""Graphs of the generator, written by hand: nodes with shapes, without torch; and the source that becomes of them."""

import ast
from collections.abc import Mapping
from typing import Any

from pytorch_to_mlx.codegen.emit.call_tree import Call, call_tree, connect
from pytorch_to_mlx.codegen.emit.draft import Draft
from pytorch_to_mlx.codegen.emit.layers import Layer
from pytorch_to_mlx.codegen.emit.naming import choose_names
from pytorch_to_mlx.codegen.emit.source_names import SourceNames
from pytorch_to_mlx.codegen.emit.write_method import write_method
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


def write(whole: Call, layers: Mapping[str, Layer] | None = None, hints: Mapping[Any, int] | None = None) -> list[str]:
    """Return the source of a call's method, line by line: `name = constant` for __init__, the body, the result."""
    drafts: dict[Call, Draft] = {}
    for item in reversed(list(whole.calls())):
        if item.path not in (layers or {}):
            drafts[item] = write_method(item, layers or {}, drafts, SourceNames({}, {}), hints or {})
    method = choose_names(drafts[whole])
    constants = [f"{name} = {ast.unparse(tree)}" for name, tree in drafts[whole].constants.items()]
    trees = [ast.unparse(ast.fix_missing_locations(tree)) for tree in (*method.statements, *method.results)]
    return [*constants, *trees]
