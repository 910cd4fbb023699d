"""Read an exported program as our graph with its weights: a `Captured`."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind, OutputKind
from torch.fx import Node as FxNode

from ..graph import Graph, Node
from .fold import fold_weights
from .fx_graph import meta_of, read_graph
from .guards import Guard, own_guards
from .input_sizes import fixed_sizes
from .tensors import place_of_values, program_tensor, to_mlx
from .watch import Described

MAX_INLINE_NUMBERS = 16  # constants of up to so many numbers are written into the source


@dataclass
class Captured:
    """A module as a graph, with the weights it reads.

    Attributes:
        weights: every tensor that the graph reads, by its dotted name in the module.
        inputs: placeholder names of the tensors among the example inputs, in pytree order.
        updates: buffer name -> the node with its new value, for modules that change their own state.
        traced_arguments: names, dtypes and example shapes of the tensor arguments of each call of each submodule.
        how: which way of export succeeded.
        dropped: assertions about values, as "file.py:12: assert …", which the graph does not check.
        fixed_values: arguments of the example that are numbers, flags or text, which are written into the graph.
        guards: the conditions on dynamic sizes that the module's code branched on; the graph holds where all are true.
        indices: the indices of the graph's loops, with their value in the round that it holds.
        unrolled: the graph and its updates before their loops were found; None if it has none.
        folded: names of the tensors that were made one weight with others.
    """

    graph: Graph
    weights: dict[str, torch.Tensor]
    program: ExportedProgram
    inputs: list[str]
    updates: dict[str, Node] = field(default_factory=dict)
    traced_arguments: Described = field(default_factory=dict)
    how: str = "torch.export"
    guards: list[Guard] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    fixed_values: dict[str, Any] = field(default_factory=dict)
    indices: dict[Any, int] = field(default_factory=dict)
    unrolled: tuple[Graph, dict[str, Node]] | None = None
    folded: list[str] = field(default_factory=list)

    def unroll(self) -> bool:
        """Put one round after the other again, as torch traced them. Returns whether there were loops."""
        if self.unrolled is None:
            return False
        self.graph, self.updates = self.unrolled
        self.indices, self.unrolled = {}, None
        return True

    @property
    def fixed(self) -> list[str]:
        """What the sizes of the inputs, and arguments that are no tensors, must be, in sentences."""
        values = [f"{name} is {value!r} only" for name, value in self.fixed_values.items()]
        return fixed_sizes(self.graph.inputs(), self.guards) + values

    @property
    def in_spec(self) -> Any:
        """The pytree of the inputs, (args, kwargs)."""
        return self.program.call_spec.in_spec

    @property
    def out_spec(self) -> Any:
        """The pytree of the outputs."""
        return self.program.call_spec.out_spec


def read_program(program: ExportedProgram) -> Captured:
    """Read an exported program as our graph, its inputs, weights, outputs and changes of buffers."""
    signature = program.graph_signature
    specs = {spec.arg.name: spec for spec in signature.input_specs if hasattr(spec.arg, "name")}
    weights: dict[str, torch.Tensor] = {}
    inputs: list[str] = []

    def placeholder(item: FxNode) -> Node:
        spec = specs[item.name]
        if spec.kind == InputKind.USER_INPUT:
            if isinstance(item.meta.get("val"), torch.Tensor):
                inputs.append(item.name)
            return Node(item.name, "input", meta=meta_of(item))
        assert spec.target is not None
        weights[spec.target] = program_tensor(program, spec)
        return Node(item.name, "weight", (spec.target,), meta=meta_of(item))

    graph = read_graph(program.graph_module, placeholder)
    graph.nodes = [node for node in graph.nodes if node.op != "input" or node.name in inputs]
    _name_tied(graph, weights, program)
    _inline_constants(graph, weights)
    outputs, updates = [], {}
    for spec, value in zip(signature.output_specs, graph.output.args[0], strict=True):
        if spec.kind == OutputKind.USER_OUTPUT:
            outputs.append(value)
        elif spec.kind == OutputKind.BUFFER_MUTATION and isinstance(value, Node):
            updates[spec.target] = value
    graph.output.args = (tuple(outputs),)
    folded = fold_weights(graph, weights, program, updates)
    return Captured(graph, weights, program, inputs, updates, guards=own_guards(program), folded=folded)


def tied_names(program: ExportedProgram) -> dict[str, list[str]]:
    """Return, for every tensor of a program that has several names, all of them by each of them."""
    groups: dict[tuple, list[str]] = {}
    for name, tensor in program.state_dict.items():
        if (place := place_of_values(tensor)) is not None:
            groups.setdefault(place, []).append(name)
    return {name: group for group in groups.values() if len(group) > 1 for name in group}


def _name_tied(graph: Graph, weights: dict[str, torch.Tensor], program: ExportedProgram) -> None:
    """Give a tied tensor the name it has in an embedding, if one reads it: a projection can use the embedding's."""
    tied = tied_names(program)
    users = graph.users()
    for node in graph.nodes:
        if node.op != "weight" or node.args[0] not in tied:
            continue
        candidates = [f"{user.module}.weight" for user in users[node] if user.op == "aten.embedding.default"]
        name = next((name for name in candidates if name in tied[node.args[0]]), None)
        if name is not None and name != node.args[0]:
            weights[name] = weights.pop(node.args[0])
            node.args = (name,)


def _inline_constants(graph: Graph, weights: dict[str, torch.Tensor]) -> None:
    """Make constants of small tensors that the code built from numbers; name larger ones below their one user."""
    users = graph.users()
    for node in graph.nodes:
        if node.op != "weight" or "lifted_tensor" not in node.args[0].rpartition(".")[2]:
            continue
        name = node.args[0]
        if weights[name].numel() <= MAX_INLINE_NUMBERS:
            node.op, node.args = "constant", (to_mlx(weights.pop(name)),)
            continue
        owners = {user.module for user in users[node]}
        if len(owners) == 1 and (owner := owners.pop()):
            inner_name = f"{owner}.{name.rpartition('.')[2]}"
            weights[inner_name] = weights.pop(name)
            node.args = (inner_name,)
