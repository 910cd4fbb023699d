"""Capture a torch module: export it with dynamic sizes, and read the result as our graph with its weights."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.export import Dim, ExportedProgram
from torch.export.graph_signature import InputKind, OutputKind
from torch.fx import Node as FxNode
from torch.utils import _pytree as pytree

from ...errors import FormatError
from ..graph import Graph, Node
from .decompose import decompositions
from .fx_graph import meta_of, read_graph
from .guards import Guard, own_guards
from .patches import traceable
from .tensors import place_of_values, to_mlx
from .watch import tracing_arguments

LARGEST_CONSTANT = 16  # numbers that are written into the source
# What torch.export raises when a model cannot be exported.
EXPORT_FAILURES = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    NotImplementedError,
    RuntimeError,
    TypeError,
    ValueError,
    torch._dynamo.exc.TorchDynamoException,
)


@dataclass
class Captured:
    """A module as a graph. `weights` holds every tensor the graph reads, under its dotted name in the module.

    inputs: placeholder names of the tensors among the example inputs, in pytree order.
    updates: buffer name -> the node with its new value, for modules that change their own state.
    given: names, dtypes and example shapes of what each call of each submodule was given while it was traced.
    guards: what the module's code decided by dynamic sizes: the graph holds only where these are true.
    """

    graph: Graph
    weights: dict[str, torch.Tensor]
    program: ExportedProgram
    inputs: list[str]
    updates: dict[str, Node] = field(default_factory=dict)
    given: dict[tuple[str, int], list[tuple[str, torch.dtype, tuple]]] = field(default_factory=dict)
    how: str = "torch.export"
    guards: list[Guard] = field(default_factory=list)

    @property
    def in_spec(self) -> Any:
        return self.program.call_spec.in_spec

    @property
    def out_spec(self) -> Any:
        return self.program.call_spec.out_spec


def capture(
    module: nn.Module, args: tuple = (), kwargs: dict[str, Any] | None = None, *, dynamic: bool = True
) -> Captured:
    """Export a module on example inputs. Every size of a tensor input that may vary stays dynamic.

    Give examples whose dynamic sizes are at least 2 and differ: torch.export fixes 0, 1 and equal ones.
    Raises: FormatError with the source line that cannot be exported.
    """
    kwargs = kwargs or {}
    module.eval()
    attempts = [("torch.export", _plain_export)]
    if _is_transformers(module):
        _register_caches(module)
        attempts.append(("torch.export with the patches of transformers.exporters", _transformers_export))
    if dynamic and not _is_transformers(module):
        attempts.append(("torch.export, only first axes dynamic", _batch_export))
    errors: list[tuple[str, BaseException]] = []
    for how, export in attempts:
        with traceable(module), tracing_arguments(module) as given:
            try:
                program = export(module, args, kwargs, dynamic)
                program = program.run_decompositions(decompositions())
            except EXPORT_FAILURES as error:
                errors.append((how, error))
                continue
        captured = read_program(program)
        captured.how, captured.given = how, given
        return captured
    first = errors[0][1]
    others = [f"{how}: {_first_lines(error)}" for how, error in errors[1:]]
    raise FormatError(
        f"torch.export cannot capture {type(module).__name__}: {_first_lines(first)}",
        where=_user_line(first),
        fix="change the code so that it does not branch on the values of tensors, or convert its parts one by one",
        details=[text for text in others if not text.endswith(_first_lines(first))],
    ) from first


def read_program(program: ExportedProgram) -> Captured:
    """Our graph of an exported program."""
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
        name = spec.target
        if spec.kind in (InputKind.PARAMETER, InputKind.BUFFER):
            weights[name] = program.state_dict[name] if name in program.state_dict else program.constants[name]
        else:
            weights[name] = program.constants[name]
        return Node(item.name, "weight", (name,), meta=meta_of(item))

    graph = read_graph(program.graph_module, placeholder)
    graph.nodes = [node for node in graph.nodes if node.op != "input" or node.name in inputs]
    name_tied(graph, weights, program)
    inline_constants(graph, weights)
    outputs, updates = [], {}
    for spec, value in zip(signature.output_specs, graph.output.args[0], strict=True):
        if spec.kind == OutputKind.USER_OUTPUT:
            outputs.append(value)
        elif spec.kind == OutputKind.BUFFER_MUTATION and isinstance(value, Node):
            updates[spec.target] = value
    graph.output.args = (tuple(outputs),)
    return Captured(graph, weights, program, inputs, updates, guards=own_guards(program))


def tied_names(program: ExportedProgram) -> dict[str, list[str]]:
    """Every name of every tensor of a program that has several, by each of them."""
    groups: dict[tuple, list[str]] = {}
    for name, tensor in program.state_dict.items():
        if (place := place_of_values(tensor)) is not None:
            groups.setdefault(place, []).append(name)
    return {name: group for group in groups.values() if len(group) > 1 for name in group}


def name_tied(graph: Graph, weights: dict[str, torch.Tensor], program: ExportedProgram) -> None:
    """Give a tied tensor the name it has in its embedding, if it is one: a projection can read it there."""
    tied = tied_names(program)
    users = graph.users()
    for node in graph.nodes:
        if node.op != "weight" or node.args[0] not in tied:
            continue
        homes = [f"{user.module}.weight" for user in users[node] if user.op == "aten.embedding.default"]
        home = next((name for name in homes if name in tied[node.args[0]]), None)
        if home is not None and home != node.args[0]:
            weights[home] = weights.pop(node.args[0])
            node.args = (home,)


def inline_constants(graph: Graph, weights: dict[str, torch.Tensor]) -> None:
    """Turn small tensors that the code made from numbers into constants; larger ones go below their module."""
    users = graph.users()
    for node in graph.nodes:
        if node.op != "weight" or "lifted_tensor" not in node.args[0].rpartition(".")[2]:
            continue
        name = node.args[0]
        if weights[name].numel() <= LARGEST_CONSTANT:
            node.op, node.args = "constant", (to_mlx(weights.pop(name)),)
            continue
        owners = {user.module for user in users[node]}
        if len(owners) == 1 and (owner := owners.pop()):
            moved = f"{owner}.{name.rpartition('.')[2]}"
            weights[moved] = weights.pop(name)
            node.args = (moved,)


def dynamic_shapes(tree: Any, axes: int | None = None) -> Any:
    """Dim.AUTO for every axis (or the first `axes`) of every tensor of a pytree, None for everything else."""

    def one(item: Any) -> Any:
        return dict.fromkeys(range(item.ndim)[:axes], Dim.AUTO) if isinstance(item, torch.Tensor) else None

    return pytree.tree_map(one, tree)


def _plain_export(
    module: nn.Module, args: tuple, kwargs: dict[str, Any], dynamic: bool, axes: int | None = None
) -> ExportedProgram:
    shapes = _shapes_by_name(module, args, kwargs, axes) if dynamic else None
    with torch.no_grad():
        return torch.export.export(module, args, kwargs, dynamic_shapes=shapes, strict=False)


def _batch_export(module: nn.Module, args: tuple, kwargs: dict[str, Any], dynamic: bool) -> ExportedProgram:
    """For sizes that torch cannot reason about: all but the first of every tensor stay as they are in the example."""
    return _plain_export(module, args, kwargs, dynamic, axes=1)


def _shapes_by_name(module: nn.Module, args: tuple, kwargs: dict[str, Any], axes: int | None = None) -> Any:
    """Dynamic shapes in the form torch.export wants: (positional…), then keywords by name."""
    import inspect

    signature = inspect.signature(module.forward)
    bound = signature.bind(*args, **kwargs)
    return {name: dynamic_shapes(value, axes) for name, value in bound.arguments.items()}


def _is_transformers(module: nn.Module) -> bool:
    return any(base.__module__ == "transformers.modeling_utils" for base in type(module).__mro__)


def _register_caches(module: nn.Module) -> None:
    """Let caches of keys and values be inputs and outputs, as the trees of tensors that they are."""
    from transformers.exporters.exporter_dynamo import register_cache_pytrees_for_model

    register_cache_pytrees_for_model(module)


def _transformers_export(module: nn.Module, args: tuple, kwargs: dict[str, Any], dynamic: bool) -> ExportedProgram:
    """With the code that transformers puts in place of what cannot be exported, such as attention to packed images."""
    from transformers.exporters import exporter_dynamo as exporter

    with (
        exporter.apply_patches("dynamo"),
        exporter.reset_model_state(module),
        exporter.patch_model_config(module, {}),
        exporter.patch_forward_signature(module, kwargs),
        _experts_at_once(module),
    ):
        return _plain_export(module, args, kwargs, dynamic)


@contextlib.contextmanager
def _experts_at_once(module: Any) -> Iterator[None]:
    """Where transformers can choose, every token takes its experts' weights: a loop over experts depends on data."""
    before = getattr(module.config, "_experts_implementation", None)
    if before != "eager" or not module._can_set_experts_implementation():
        yield
        return
    module.set_experts_implementation("batched_mm")
    try:
        yield
    finally:
        module.set_experts_implementation(before)


def _first_lines(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {' '.join(lines[:2])[:300]}"


def _user_line(error: BaseException) -> str | None:
    """ "file:line" of the innermost traceback entry outside torch and this package."""
    found = None
    trace = error.__traceback__
    while trace:
        file = trace.tb_frame.f_code.co_filename
        if "/torch/" not in file and "/pytorch_to_mlx/" not in file and not file.startswith("<"):
            found = f"{file}:{trace.tb_lineno}"
        trace = trace.tb_next
    return found
