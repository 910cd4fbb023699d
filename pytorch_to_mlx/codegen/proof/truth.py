"""PyTorch's values of an exported program: what a conversion is measured against."""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.fx import Node as FxNode
from torch.fx.node import map_arg
from torch.utils import _pytree as pytree

from ..capture.methods import Entry
from ..capture.noise import drawn
from ..capture.watch import Values
from ..graph import Node
from .float64 import float64_dtype, float64_weight, to_dense, to_float64, wide_default


class Truth:
    """PyTorch's values of an exported program on its example inputs: in float32 as it runs, in float64 on demand.

    keep: the nodes whose float32 values are stored, by name. values: those that are stored now.
    """

    def __init__(self, entry: Entry, keep: set[str]) -> None:
        self.method, self.captured, self.flat = entry.name, entry.captured, entry.flat
        self.keep = keep
        self.values: dict[str, Any] = {}
        self._noise: dict[str, torch.Tensor] = {}
        self._random: set[str] = set()
        self._program: ExportedProgram = entry.captured.program
        self._specs = {getattr(spec.arg, "name", ""): spec for spec in self._program.graph_signature.input_specs}
        self._nodes = {node.name: node for node in self._program.graph.nodes}
        tensors = [item for item in self.flat if isinstance(item, torch.Tensor)]
        self._inputs = dict(zip(entry.captured.inputs, tensors, strict=True))

    def run(self, watch: Callable[[str], None] | None = None) -> "Truth":
        """Compute the float32 values; `watch` is called with the name of each, and may delete values."""
        interpreter = Values(self._program, self.keep, watch=watch)
        self.values, self._noise, self._random = interpreter.kept, interpreter.draws, interpreter.random
        interpreter.compute(self.flat)
        return self

    def float32(self, node: Node) -> Any:
        """Return the float32 value of one of our nodes."""
        if node.op == "weight":
            return self.captured.weights[node.args[0]]
        if node.op == "noise":
            return self._noise[node.args[1]]
        return self._inputs[node.name] if node.op == "input" else self.values[node.name]

    def is_random(self, node: Node) -> bool:
        """Tell whether PyTorch draws a node's value anew in every run."""
        return node.name in self._random or (node.name in self._noise and "noise" not in node.kwargs)

    def float64(self, node: Node, known: Mapping[str, Any]) -> Any:
        """Compute the float64 value of a node from the inputs and from the float32 values of `known` nodes."""
        memo = {name: to_float64(value) for name, value in (dict(self._inputs) | dict(known)).items()}
        with torch.no_grad(), wide_default():
            return to_dense(self._evaluate(self._nodes[node.name], memo))

    def _evaluate(self, target: FxNode, memo: dict[str, Any]) -> Any:
        """Compute a node from the values in memo, and free each value after its last use."""
        needed: set[FxNode] = set()
        waiting = [target]
        while waiting:
            node = waiting.pop()
            if node not in needed and node.name not in memo:
                needed.add(node)
                waiting += node.all_input_nodes
        ordered = [node for node in self._nodes.values() if node in needed]
        n_uses = Counter(used for node in ordered for used in node.all_input_nodes)
        for node in ordered:
            if node.op == "placeholder":
                memo[node.name] = float64_weight(self._weight(node.name))
                continue
            arguments = map_arg((node.args, node.kwargs), lambda used: memo[used.name])
            args, kwargs = (pytree.tree_map(float64_dtype, part) for part in arguments)  # dtype=torch.float32 too
            assert callable(node.target)
            if node.name in self._noise:
                memo[node.name], _ = drawn(node.target, args, kwargs, self._noise[node.name])
            else:
                memo[node.name] = node.target(*args, **kwargs)
            for used in node.all_input_nodes:
                n_uses[used] -= 1
                if not n_uses[used]:
                    del memo[used.name]
        return memo[target.name]

    def _weight(self, name: str) -> Any:
        """Return the parameter, buffer or constant behind a placeholder; None for one that holds nothing."""
        path = self._specs[name].target
        if path is None:
            return None
        return self._program.state_dict[path] if path in self._program.state_dict else self._program.constants[path]
