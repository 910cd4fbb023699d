"""From a captured module to MLX source: the steps in order."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import mlx.core as mx
import torch
from torch import nn
from torch.utils import _pytree as pytree

from .capture import Captured
from .classes import build_classes, call_arguments, place_tree
from .extend import replacement_for
from .fx_graph import class_of
from .graph import Meta, Node, leaves
from .guards import fitting_sizes
from .leaves import Leaf, match_leaf
from .modules import CONTAINERS, Call, call_tree, connect, dissolve, foreign_calls, hoist_views, trivial_calls
from .observe import Values, same_tensor, watch_arguments
from .outputs import input_tree, output_tree
from .replaced import find_replaced, outside_weights, wire
from .simplify import simplify
from .sizes import Hints
from .source import module_text, require_ruff
from .source_names import SourceNames
from .tensors import to_mlx
from .trees import layered, layered_now, mlx_parts
from .writer import Writer, Written


@dataclass
class Generated:
    """Source, weights under their names in it, and the module calls that can be checked one by one.

    originals: the original names of the tensors that are used. renamed: those that had to change.
    raw: layers whose weight is also read outside of them, so that it cannot be quantized. arguments: what the model's
    call takes.
    """

    source: str
    weights: dict[str, mx.array]
    root: Call
    calls: dict[Call, Written]
    leaves: dict[str, Leaf]
    renamed: dict[str, str] = field(default_factory=dict)
    class_name: str = ""
    arguments: list[str] = field(default_factory=list)
    originals: list[str] = field(default_factory=list)
    raw: set[str] = field(default_factory=set)
    layered: frozenset[str] = frozenset()


def generate(captured: Captured, module: nn.Module, args: tuple, kwargs: Mapping[str, Any]) -> Generated:
    """Write the MLX source of a captured module. args and kwargs: the example inputs it was captured with."""
    require_ruff()
    frames = {frame for node in captured.graph.nodes for frame in node.stack}
    own_code = {frame.path for frame in frames if not frame.class_name.startswith(CONTAINERS)}
    with layered(frozenset({"", *own_code})):
        return _generate(captured, module, args, kwargs)


def _generate(captured: Captured, module: nn.Module, args: tuple, kwargs: Mapping[str, Any]) -> Generated:
    flat = pytree.tree_leaves((args, dict(kwargs)))
    hints = size_hints(captured, flat)
    graph = simplify(captured.graph, hints)
    root = call_tree(graph, class_of(module, captured.program.graph))
    hoist_views(root)
    connect(root, graph)
    replaced = find_replaced(root, graph, module)
    found = find_leaves(root) | replaced
    dissolve(root, trivial_calls(root) - {call for call in root.calls() if call.path in found} | foreign_calls(root))
    connect(root, graph)
    wire(root, graph, replaced, captured, module, args, kwargs, flat)
    outputs = list(dict.fromkeys(leaves(graph.output.args, Node)))
    root.outputs = list(dict.fromkeys([*outputs, *captured.updates.values()]))
    modules = dict(module.named_modules())
    names = SourceNames(modules, argument_names(root, captured, module, args, kwargs, flat))
    order_inputs(root, names, modules)
    written: dict[Call, Written] = {}
    bodies: dict[str, list[Written]] = {}
    for call in reversed(list(root.calls())):
        if call.path in found:
            continue
        guards = captured.guards if call is root else ()
        written[call] = one = Writer(call, found, written, names, hints, guards).write()
        add_variant(bodies.setdefault(call.path, []), one)
    output_tree(written[root], captured, graph.output.args[0])
    input_tree(written[root], module, args, kwargs)
    weights = used_weights(graph, captured, outside_weights(graph, root, replaced))
    order = {name: place for place, name in enumerate(_declared(module))}
    tree = place_tree(bodies, found, {name: meta for name, (_, meta) in weights.items()}, order)
    classes = build_classes(tree, {call.path: call.class_name for call in root.calls()}, modules)
    helpers = set().union(*(one.helpers for one in written.values()))
    title = f"{root.class_name.rpartition('.')[2]} in MLX, written by pytorch-to-mlx.\n\nOriginal: {root.class_name}\n"
    raw = set().union(*(one.raw for one in written.values()))
    arrays, renamed = mlx_weights(weights, found)
    users = [leaf.replaced.replacement.mlx_class for leaf in replaced.values()]
    text = module_text(classes, helpers, title, dict.fromkeys(users))
    originals = [*weights, *(name for leaf in replaced.values() for name in leaf.replaced.state)]
    name, arguments = classes[-1].name, call_arguments(classes[-1])
    return Generated(text, arrays, root, written, found, renamed, name, arguments, originals, raw, layered_now())


def size_hints(captured: Captured, flat: list[Any]) -> Hints:
    """The value of every dynamic size in the example inputs."""
    tensors = [item for item in flat if isinstance(item, torch.Tensor)]
    hints = Hints()
    for node, tensor in zip(captured.graph.inputs(), tensors, strict=True):
        for size, actual in zip(node.meta.shape, tensor.shape, strict=True):
            if not isinstance(size, int) and size.is_Symbol:
                hints[size] = actual
    hints.data = fitting_sizes(captured.program, hints)
    return hints


def find_leaves(root: Call) -> dict[str, Leaf]:
    """Paths of modules whose every call is the same layer of mlx.nn."""
    found: dict[str, Leaf | None] = {}
    for call in root.calls():
        if call is root or replacement_for(call.class_name):
            continue
        leaf = match_leaf(call)
        found[call.path] = leaf if found.get(call.path, leaf) == leaf else None
    return {path: leaf for path, leaf in found.items() if leaf is not None}


def argument_names(
    root: Call, captured: Captured, module: nn.Module, args: tuple, kwargs: Mapping[str, Any], flat: list[Any]
) -> dict[tuple[str, int], dict[Node, str]]:
    """What `forward` calls the inputs of every call, found by equal values, else by dtype and shape."""
    wanted = {node.name for call in root.calls() for node in call.inputs}
    values = Values(captured.program, wanted).compute(flat)
    _, seen = watch_arguments(module, args, kwargs)
    table: dict[tuple[str, int], dict[Node, str]] = {}
    for call in root.calls():
        given = list(seen.get((call.path, call.number), []))
        named = table.setdefault((call.path, call.number), {})
        for node in call.inputs:
            match = next((item for item in given if same_tensor(values.get(node.name), item[1])), None)
            if match is not None:
                named[node] = match[0]
                given.remove(match)
        traced = [item for item in captured.given.get((call.path, call.number), []) if item[0] not in named.values()]
        for node in call.inputs:
            value = values.get(node.name)
            if node in named or not isinstance(value, torch.Tensor):
                continue
            match = next((item for item in traced if item[1:] == (value.dtype, tuple(value.shape))), None)
            if match is not None:
                named[node] = match[0]
                traced.remove(match)
    return table


def order_inputs(root: Call, names: SourceNames, modules: Mapping[str, nn.Module]) -> None:
    """Inputs in the order of `forward`'s parameters; those it does not name come last."""
    import inspect

    for call in root.calls():
        if call is root or call.path not in modules:
            continue
        parameters = list(inspect.signature(modules[call.path].forward).parameters)

        def place(node: Node, call: Call = call, parameters: list[str] = parameters) -> int:
            name = names.argument(call, node)
            return parameters.index(name) if name in parameters else len(parameters)

        call.inputs.sort(key=place)


def add_variant(bodies: list[Written], one: Written) -> None:
    """Number the different codes of one module's calls."""
    import ast as _ast

    def code(written: Written) -> str:
        parts = [*written.statements, *written.results]
        return "\n".join([str(written.args), str(written.sizes), *(_ast.dump(part) for part in parts)])

    for place, other in enumerate(bodies):
        if code(other) == code(one):
            one.variant = place
            return
    one.variant = len(bodies)
    bodies.append(one)


def used_weights(graph: Any, captured: Captured, read: set[str]) -> dict[str, tuple[torch.Tensor, Meta]]:
    """The tensors that the simplified graph still reads."""
    return {
        node.args[0]: (captured.weights[node.args[0]], node.meta)
        for node in graph.nodes
        if node.op == "weight" and node.args[0] in read
    }


def mlx_weights(
    weights: Mapping[str, tuple[torch.Tensor, Meta]], found: Mapping[str, Leaf]
) -> tuple[dict[str, mx.array], dict[str, str]]:
    """Arrays in MLX's layout under the names of the generated source, and the names that had to change."""
    arrays: dict[str, mx.array] = {}
    renamed: dict[str, str] = {}
    for path, leaf in found.items():
        if leaf.replaced:
            prefix = ".".join(mlx_parts(path))
            arrays |= {f"{prefix}.{name}": array for name, array in leaf.replaced.weights.items()}
    for name, (tensor, _) in weights.items():
        owner, _, last = name.rpartition(".")
        array = to_mlx(tensor)
        order = found[owner].layouts.get(last) if owner in found else None
        safe = ".".join(mlx_parts(name))
        arrays[safe] = mx.contiguous(array.transpose(*order)) if order else array
        if safe != name:
            renamed[name] = safe
    return arrays, renamed


def _declared(module: nn.Module) -> list[str]:
    """Dotted names of modules and tensors in the order in which the module declares them."""
    names = []
    for path, child in module.named_modules():
        names.append(path)
        own = [*child._parameters, *child._buffers]
        names += [f"{path}.{name}" if path else name for name in own]
    return names
