"""Submodules that a registered MLX module stands for: what goes in, what comes out, which weights it has."""

import ast
import inspect
from collections.abc import Mapping
from typing import Any

import mlx.core as mx
from mlx.utils import tree_flatten

from ...errors import FormatError
from ..capture.tensors import Module, Tensor, to_mlx
from ..capture.watch import Values, same_tensor, watch_calls
from ..extensions import Replacement, class_name, replacement_for
from ..graph import Graph, Meta, Node, Unsupported
from ..paths import access
from .call_tree import Call, connect, inline_calls
from .layers import Layer, UserModule
from .method_calls import MethodCalls
from .scope import Scope, result_of


def find_user_layers(root: Call, graph: Graph, module: Module) -> dict[str, Layer]:
    """Return the submodules of registered classes, and flatten their calls: only their inputs and outputs count."""
    modules = dict(module.named_modules())
    layers: dict[str, Layer] = {}
    for call in list(root.calls()):
        original = modules.get(call.path)
        replacement = replacement_for(class_name(type(original))) if call.path and original is not None else None
        if replacement is None or any(call.path.startswith(f"{path}.") for path in layers):
            continue
        inline_calls(call, set(call.calls()) - {call})
        if call.path not in layers:
            layers[call.path] = user_layer(replacement, call.path, original)
    if layers:
        connect(root, graph)
    return layers


def user_layer(replacement: Replacement, path: str, original: Any) -> Layer:
    """Return the layer that stands for one submodule.

    Raises: FormatError that lists every weight that the MLX class has not, lacks, or has in another shape.
    """
    name = replacement.mlx_class.__name__
    options = dict(replacement.arguments(original)) if replacement.arguments else {}
    tensors = {key: tensor for key, tensor in original.state_dict().items() if isinstance(tensor, Tensor)}
    state = {key: to_mlx(tensor) for key, tensor in tensors.items()}
    weights = dict(replacement.weights(state)) if replacement.weights else state
    expected: dict[str, mx.array] = dict(tree_flatten(replacement.mlx_class(**options).parameters()))
    problems = [f"{key}: missing" for key in expected if key not in weights]
    problems += [f"{key}: {name} has no such weight" for key in weights if key not in expected]
    problems += [
        f"{key}: {list(weights[key].shape)} instead of {list(array.shape)}"
        for key, array in expected.items()
        if key in weights and weights[key].shape != array.shape
    ]
    if problems:
        raise FormatError(
            f"the weights for {name} do not fit", where=path, fix="give register_module `weights`", details=problems
        )
    return Layer(name, (), options, user_module=UserModule(replacement, weights, [f"{path}.{key}" for key in tensors]))


def match_user_calls(method: MethodCalls, layers: Mapping[str, Layer], module: Module) -> None:
    """Name the inputs and number the outputs of the calls of user modules, by the values of the example.

    Raises: Unsupported where a call reads a value that forward is not given, or one that it does not return is used.
    """
    root, graph = method.root, method.graph
    calls = [call for call in root.calls() if call.path in method.user_layers]
    if not calls:
        return
    values = _example_values(method, calls)
    entry = method.entry
    examples = watch_calls(module, {call.path for call in calls}, entry.args, entry.kwargs)
    for call in calls:
        arguments, _ = examples[call.path, call.number]
        _move_views_out(call, root, graph, values, [tensor for _, tensor in arguments])
    connect(root, graph)
    for call in calls:
        arguments, results = examples[call.path, call.number]
        user_module = layers[call.path].user_module
        assert user_module is not None
        call.inputs = [node for node in call.inputs if node.op != "weight"]
        names = {
            node: next(name for name, tensor in arguments if same_tensor(values.get(node.name), tensor))
            for node in call.inputs
        }
        _check_signature(user_module.replacement.mlx_class, list(names.values()), call.path)
        places: dict[Node, int] = {}
        for node in call.outputs:
            equal = [i for i, tensor in enumerate(results) if same_tensor(values.get(node.name), tensor)]
            if not equal:
                raise Unsupported("a value that forward does not return is used outside of it", where=call.path)
            places[node] = equal[0]
        user_module.names[call], user_module.places[call] = names, places
        user_module.n_results[call] = len(results)
    _check_weights(graph, calls)


def _example_values(method: MethodCalls, calls: list[Call]) -> dict[str, Any]:
    """Return the values of everything in and around these calls, by node name."""
    captured, flat = method.entry.captured, method.entry.flat
    names = {node.name for call in calls for node in (*call.nodes(), *call.inputs)}
    values = Values(captured.program, names).compute(flat)
    inputs = [item for item in flat if isinstance(item, Tensor)]
    return values | dict(zip(captured.inputs, inputs, strict=True))


def _check_signature(mlx_class: type, names: list[str], path: str) -> None:
    """Refuse an MLX class that does not take what forward takes, under the same names."""
    try:
        inspect.signature(mlx_class.__call__).bind(None, **dict.fromkeys(names))
    except TypeError as error:
        raise FormatError(f"{mlx_class.__name__} cannot be called like forward: {error}", where=path) from error


def _move_views_out(call: Call, root: Call, graph: Graph, values: Mapping[str, Any], arguments: list[Tensor]) -> None:
    """Move ops from the start of a call to its caller, until all that goes in is an argument of forward."""
    parent = next(other for other in root.calls() if call in other.items)
    while True:
        connect(root, graph)
        inputs = [node for node in call.inputs if node.op != "weight"]
        if all(any(same_tensor(values.get(node.name), tensor) for tensor in arguments) for node in inputs):
            return
        if not call.items:
            raise Unsupported("it reads values that are not given to forward", where=call.path)
        parent.items.insert(parent.items.index(call), call.items.pop(0))


def _check_weights(graph: Graph, calls: list[Call]) -> None:
    """Refuse weights of a user module that other code reads: the MLX module may keep them in another form."""
    inside = {node: call.path for call in calls for node in call.nodes()}
    for node in graph.nodes:
        for used in node.inputs():
            owner = next((c.path for c in calls if used.op == "weight" and c.owns(used.args[0])), None)
            if owner is not None and inside.get(node) != owner:
                raise Unsupported(f"its weight {used.args[0]} is read outside of it", where=owner).at(node)


def weights_outside(method: MethodCalls) -> set[str]:
    """Return the names of the weights that code outside of user modules reads."""
    inside = {node for call in method.root.calls() if call.path in method.user_layers for node in call.nodes()}
    readers = [node for node in method.graph.nodes if node not in inside]
    return {used.args[0] for node in readers for used in node.inputs() if used.op == "weight"}


def write_user_call(scope: Scope, call: Call, user_module: UserModule) -> None:
    """Write the call of a user module: every array by the name that forward has for it."""
    names, places = user_module.names[call], user_module.places[call]
    keywords = [ast.keyword(names[node], scope.tree(node)) for node in call.inputs]
    tree = ast.Call(access(scope.call.path, call.path), [], keywords)
    if user_module.n_results[call] == 1:
        (node,) = call.outputs
        scope.store(node, result_of(tree, node.meta, scope.size_hints))
        return
    targets: list[ast.expr] = [ast.Name("_") for _ in range(user_module.n_results[call])]
    for node, place in places.items():
        targets[place] = scope.result_variable(node, default=f"x_{place}")
    scope.draft.assign(ast.Tuple(targets), tree)


def run_user_module(module: Any, user_module: UserModule, call: Call, inputs: list[mx.array]) -> list[mx.array]:
    """Return the outputs of a call, in the order of call.outputs. module: the instance in the generated model.

    Raises: FormatError if it returns more or fewer arrays than forward.
    """
    names = user_module.names[call]
    result = module(**{names[node]: value for node, value in zip(call.inputs, inputs, strict=True)})
    parts = [result] if isinstance(result, mx.array) else list(result)
    if len(parts) != user_module.n_results[call]:
        raise FormatError(f"it returns {len(parts)} arrays, forward {user_module.n_results[call]}", where=call.path)
    return [parts[user_module.places[call][node]] for node in call.outputs if isinstance(node.meta, Meta)]
