"""torch's values of an exported program: what a conversion is measured against."""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.fx import Node as FxNode
from torch.utils import _pytree as pytree

from ..capture.methods import Entry
from ..capture.watch import Values
from ..graph import Node
from .float64 import materialized, wide_dtype, wide_weight, widen


class Truth:
    """torch's values of an exported program on one set of inputs: in float32 as it runs, in float64 where asked."""

    def __init__(self, entry: Entry, keep: set[str]) -> None:
        self.method, self.captured, self.flat = entry.name, entry.captured, entry.flat
        self.keep = keep
        self.values: dict[str, Any] = {}
        program = entry.captured.program
        self._specs = {getattr(spec.arg, "name", ""): spec for spec in program.graph_signature.input_specs}
        self._nodes = {node.name: node for node in program.graph.nodes}
        tensors = [item for item in self.flat if isinstance(item, torch.Tensor)]
        self._inputs = dict(zip(entry.captured.inputs, tensors, strict=True))

    def run(self, watch: Callable[[str], None] | None = None) -> "Truth":
        """Compute the values. `watch` is told the name of each as it is made; it may free what it needs no more."""
        interpreter = Values(self.captured.program, self.keep, watch=watch)
        self.values = interpreter.kept
        interpreter.compute(self.flat)
        return self

    def narrow(self, node: Node) -> Any:
        """The float32 value of one of our nodes."""
        if node.op == "weight":
            return self.captured.weights[node.args[0]]
        return self._inputs[node.name] if node.op == "input" else self.values[node.name]

    def wide(self, node: Node, known: Mapping[str, Any]) -> Any:
        """The float64 value of a node, computed from the known float32 values of others."""
        memo = {name: widen(value) for name, value in (dict(self._inputs) | dict(known)).items()}
        with torch.no_grad():
            return materialized(self._evaluate(self._nodes[node.name], memo))

    def _evaluate(self, target: FxNode, memo: dict[str, Any]) -> Any:
        """Compute a node from the values in memo, and free each value that is needed no more."""
        needed: set[FxNode] = set()
        waiting = [target]
        while waiting:
            node = waiting.pop()
            if node not in needed and node.name not in memo:
                needed.add(node)
                waiting += node.all_input_nodes
        ordered = [node for node in self._nodes.values() if node in needed]
        left = Counter(used for node in ordered for used in node.all_input_nodes)
        for node in ordered:
            if node.op == "placeholder":
                memo[node.name] = wide_weight(self._weight(node.name))
                continue
            args, kwargs = torch.fx.node.map_arg((node.args, node.kwargs), lambda used: memo[used.name])
            args, kwargs = (pytree.tree_map(wide_dtype, part) for part in (args, kwargs))
            memo[node.name] = node.target(*args, **kwargs)  # type: ignore[operator]
            for used in node.all_input_nodes:
                left[used] -= 1
                if not left[used]:
                    del memo[used.name]
        return memo[target.name]

    def _weight(self, name: str) -> Any:
        program, spec = self.captured.program, self._specs[name]
        if spec.target is None:
            return None
        return program.state_dict[spec.target] if spec.target in program.state_dict else program.constants[spec.target]
