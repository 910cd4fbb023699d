"""Submodules that a registered MLX module stands for: what goes in, what comes out, which weights it has."""

import ast
import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import mlx.core as mx
from mlx.utils import tree_flatten

from ...errors import FormatError
from ..capture.export import Captured
from ..capture.tensors import Module, Tensor, to_mlx
from ..capture.watch import Values, same_tensor, watch_calls
from ..extensions import Replacement, class_name, replacement_for
from ..graph import Graph, Meta, Node, Unsupported
from ..lowering.recorder import Recorded
from ..lowering.sizes import with_sizes
from ..paths import access
from .call_tree import Call, connect, dissolve
from .layers import Leaf


@dataclass
class Replaced:
    """One submodule. names: parameter names of the inputs; places: which of forward's tensors each output is.

    count: how many tensors forward returns.
    """

    replacement: Replacement
    weights: dict[str, mx.array]
    state: list[str]
    names: dict[Call, dict[Node, str]] = field(default_factory=dict)
    places: dict[Call, dict[Node, int]] = field(default_factory=dict)
    count: dict[Call, int] = field(default_factory=dict)


def find_replaced(root: Call, graph: Graph, module: Module) -> dict[str, Leaf]:
    """The submodules of registered classes. What is inside of them is not looked at any more."""
    modules = dict(module.named_modules())
    found: dict[str, Leaf] = {}
    for call in list(root.calls()):
        original = modules.get(call.path)
        replacement = replacement_for(class_name(type(original))) if call.path and original is not None else None
        if replacement is None or any(call.path.startswith(f"{path}.") for path in found):
            continue
        dissolve(call, set(call.calls()) - {call})
        if call.path not in found:
            found[call.path] = _leaf(replacement, call.path, original)
    if found:
        connect(root, graph)
    return found


def _leaf(replacement: Replacement, path: str, original: Any) -> Leaf:
    """The layer, with its weights checked against those of the original."""
    name = replacement.mlx_class.__name__
    options = dict(replacement.arguments(original)) if replacement.arguments else {}
    tensors = {name: tensor for name, tensor in original.state_dict().items() if isinstance(tensor, Tensor)}
    state = {name: to_mlx(tensor) for name, tensor in tensors.items()}
    weights = dict(replacement.weights(state)) if replacement.weights else state
    wanted: dict[str, mx.array] = dict(tree_flatten(replacement.mlx_class(**options).parameters()))
    wrong = [f"{key}: missing" for key in wanted if key not in weights]
    wrong += [f"{key}: {name} has no such weight" for key in weights if key not in wanted]
    wrong += [
        f"{key}: {list(weights[key].shape)} instead of {list(array.shape)}"
        for key, array in wanted.items()
        if key in weights and weights[key].shape != array.shape
    ]
    if wrong:
        raise FormatError(
            f"the weights for {name} do not fit", where=path, fix="give register_module `weights`", details=wrong
        )
    replaced = Replaced(replacement, weights, [f"{path}.{key}" for key in tensors])
    return Leaf(name, (), options, replaced=replaced)


def wire(root: Call, graph: Graph, found: Mapping[str, Leaf], captured: Captured, module: Module, *example: Any):
    """Tell inputs and outputs of replaced calls by the values that forward takes and returns in the example."""
    args, kwargs, flat = example
    calls = [call for call in root.calls() if call.path in found]
    if not calls:
        return
    names = {node.name for call in calls for node in (*call.nodes(), *call.inputs)}
    values = Values(captured.program, names).compute(flat)
    inputs = [item for item in flat if isinstance(item, Tensor)]
    values |= dict(zip(captured.inputs, inputs, strict=True))
    watched = watch_calls(module, {call.path for call in calls}, args, kwargs)
    for call in calls:
        given, returned = watched[call.path, call.number]
        _take_views_out(call, root, graph, values, [tensor for _, tensor in given])
    connect(root, graph)
    for call in calls:
        given, returned = watched[call.path, call.number]
        replaced = found[call.path].replaced
        call.inputs = [node for node in call.inputs if node.op != "weight"]
        replaced.names[call] = {
            node: next(name for name, tensor in given if same_tensor(values.get(node.name), tensor))
            for node in call.inputs
        }
        _check_call(replaced.replacement.mlx_class, list(replaced.names[call].values()), call.path)
        places = {}
        for node in call.outputs:
            same = [i for i, tensor in enumerate(returned) if same_tensor(values.get(node.name), tensor)]
            if not same:
                raise Unsupported("a value that forward does not return is used outside of it", where=call.path)
            places[node] = same[0]
        replaced.places[call], replaced.count[call] = places, len(returned)
    _own_weights(graph, calls)


def _check_call(mlx_class: type, names: list[str], path: str) -> None:
    """The MLX class must take what forward takes, under the same names."""
    try:
        inspect.signature(mlx_class.__call__).bind(None, **dict.fromkeys(names))
    except TypeError as error:
        raise FormatError(f"{mlx_class.__name__} cannot be called like forward: {error}", where=path) from error


def _take_views_out(call: Call, root: Call, graph: Graph, values: Mapping[str, Any], given: list[Tensor]) -> None:
    """Move ops from the start of a call to its caller, until all that goes in is what forward was given."""
    parent = next(other for other in root.calls() if call in other.items)
    while True:
        connect(root, graph)
        inputs = [node for node in call.inputs if node.op != "weight"]
        if all(any(same_tensor(values.get(node.name), tensor) for tensor in given) for node in inputs):
            return
        if not call.items:
            raise Unsupported("it reads values that are not given to forward", where=call.path)
        parent.items.insert(parent.items.index(call), call.items.pop(0))


def _own_weights(graph: Graph, calls: list[Call]) -> None:
    """Refuse weights of a replaced module that are read elsewhere: the MLX module may keep them in another form."""
    inside = {node: call.path for call in calls for node in call.nodes()}
    for node in graph.nodes:
        for used in node.inputs():
            owner = next((c.path for c in calls if used.op == "weight" and c.owns(used.args[0])), None)
            if owner is not None and inside.get(node) != owner:
                raise Unsupported(f"its weight {used.args[0]} is read outside of it", where=owner).at(node)


def outside_weights(graph: Graph, root: Call, found: Mapping[str, Leaf]) -> set[str]:
    """Names of the weights that code outside of replaced modules reads."""
    inside = {n for call in root.calls() if call.path in found and found[call.path].replaced for n in call.nodes()}
    readers = [node for node in graph.nodes if node not in inside]
    return {used.args[0] for node in readers for used in node.inputs() if used.op == "weight"}


def write_replaced(writer: Any, call: Call, replaced: Replaced) -> None:
    """Write the call of a replaced module: every tensor by the name that forward has for it."""
    names, places = replaced.names[call], replaced.places[call]
    keywords = [ast.keyword(names[node], writer._tree(node)) for node in call.inputs]
    tree = ast.Call(access(writer.call.path, call.path), [], keywords)
    if replaced.count[call] == 1:
        (node,) = call.outputs
        meta = with_sizes(node.meta, writer.hints)
        writer._settle(node, Recorded(tree, writer.stand_in(meta), meta.shape))
        return
    targets: list[ast.expr] = [ast.Name("_") for _ in range(replaced.count[call])]
    for node, place in places.items():
        hint = writer.names.target(node, writer.call) or f"x_{place}"
        variable = ast.Name(writer.fresh(hint))
        targets[place] = variable
        writer.values[node] = writer._placeholder(node, variable)
    writer.out.statements.append(ast.Assign([ast.Tuple(targets)], tree))


def run_replaced(module: Any, replaced: Replaced, call: Call, inputs: list[mx.array]) -> list[mx.array]:
    """The outputs of a replaced call, in the order of call.outputs."""
    names = replaced.names[call]
    result = module(**{names[node]: value for node, value in zip(call.inputs, inputs, strict=True)})
    parts = [result] if isinstance(result, mx.array) else list(result)
    if len(parts) != replaced.count[call]:
        raise FormatError(f"it returns {len(parts)} arrays, forward {replaced.count[call]}", where=call.path)
    return [parts[replaced.places[call][node]] for node in call.outputs if isinstance(node.meta, Meta)]
