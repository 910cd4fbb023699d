"""Fold what is computed from weights alone into one weight: weight norm, spectral norm, and other parametrizations."""

from collections.abc import Mapping
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.fx.node import map_arg

from ..graph import Graph, Node
from .tensors import program_tensor

LAYERS = {
    f"aten.{name}"
    for name in (
        "linear.default conv1d.default conv2d.default conv3d.default conv1d.padding conv2d.padding conv3d.padding "
        "conv_transpose1d.default conv_transpose2d.input conv_transpose3d.input embedding.default"
    ).split()
}

# Ops that only move or round values: layers of MLX read such weights as they are.
MOVES = {"weight"} | {
    f"aten.{name}"
    for name in (
        "t.default transpose.int permute.default view.default reshape.default expand.default _to_copy.default "
        "clone.default detach.default slice.Tensor select.int unsqueeze.default squeeze.dim alias.default"
    ).split()
}


def fold_weights(
    graph: Graph, weights: dict[str, torch.Tensor], program: ExportedProgram, updated: Mapping[str, Any]
) -> list[str]:
    """Make one weight of what a layer computes its weight from. Changes graph and weights; returns what went into them.

    updated: buffers that a call changes, which stay.
    """
    fixed: set[Node] = set()  # nodes that follow from weights
    for node in graph.nodes:
        if node.op == "weight":
            is_fixed = node.args[0] not in updated
        else:
            inputs = list(node.inputs())
            is_fixed = node.op.startswith("aten.") and bool(inputs) and fixed.issuperset(inputs)
        if is_fixed:
            fixed.add(node)
    folded: dict[str, None] = {}
    for node in graph.nodes:
        source = node.kwargs.get("weight")
        name = f"{node.module}.weight"
        if node.op not in LAYERS or source not in fixed or source.op == "weight" or not node.module:
            continue
        if name in program.state_dict or name in weights:
            continue
        behind = _chain(source)
        originals = [used.args[0] for used in behind if used.op == "weight"]
        value = _value(program, source.name)
        if all(used.op in MOVES for used in behind) or value.numel() > sum(weights[one].numel() for one in originals):
            continue
        folded |= dict.fromkeys(originals)
        weights[name] = value
        source.op, source.args, source.kwargs, source.stack, source.trace = "weight", (name,), {}, (), ()
    return list(folded)


def _chain(node: Node) -> list[Node]:
    """Return a node and all that it is computed from, each once."""
    nodes = {node: None}
    for used in node.inputs():
        nodes |= dict.fromkeys(_chain(used))
    return list(nodes)


def _value(program: ExportedProgram, name: str) -> torch.Tensor:
    """Return what a node of a program that follows from weights is, as torch computes it."""
    specs = {getattr(spec.arg, "name", ""): spec for spec in program.graph_signature.input_specs}
    nodes = {node.name: node for node in program.graph.nodes}

    def value(node: torch.fx.Node) -> Any:
        if node.op == "placeholder":
            return program_tensor(program, specs[node.name]).detach()
        args, kwargs = map_arg((node.args, node.kwargs), value)
        assert callable(node.target)
        return node.target(*args, **kwargs)

    with torch.no_grad():
        return value(nodes[name])
