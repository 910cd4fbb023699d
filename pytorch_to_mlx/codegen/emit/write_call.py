"""Write the call of a child: of a layer of mlx.nn, of a user's module, or of a generated method."""

import ast
from collections.abc import Mapping

from ..graph import Meta, Sym
from ..lowering.ops.conv import channels_first, channels_last
from ..lowering.sizes import with_sizes
from ..paths import access
from .call_tree import Call
from .draft import Draft
from .interfaces import mark_call
from .layers import Layer
from .scope import Scope, result_of
from .user_modules import write_user_call


def write_call(scope: Scope, call: Call, drafts: Mapping[Call, Draft]) -> None:
    """Call a child and store its results. drafts: the methods of the children that have code of their own."""
    target = access(scope.call.path, call.path)
    if isinstance(target, ast.Subscript):
        scope.list_results.update(call.outputs)
    layer = scope.layers.get(call.path)
    if layer is None:
        _write_method_call(scope, call, target, drafts[call])
    elif layer.user_module is not None:
        write_user_call(scope, call, layer.user_module)
    else:
        _write_layer_call(scope, call, target, layer)


def _write_layer_call(scope: Scope, call: Call, target: ast.expr, layer: Layer) -> None:
    node = call.outputs[0]
    source = scope.value(call.inputs[0])
    if layer.channels_last:
        tree = ast.Call(target, [channels_last(source).tree], [])
        value = channels_first(result_of(tree, node.meta, scope.size_hints, channels_last=True))
        value.announced_shape = with_sizes(node.meta, scope.size_hints).shape
    else:
        value = result_of(ast.Call(target, [source.tree], []), node.meta, scope.size_hints)
    scope.store(node, value)


def _write_method_call(scope: Scope, call: Call, target: ast.expr, draft: Draft) -> None:
    if isinstance(target, ast.Subscript):  # repeated calls become a loop only if their arguments are plain names
        for node in call.inputs:
            scope.name_argument(node)
    function = target if draft.method == "__call__" else ast.Attribute(target, draft.method)
    args = [scope.tree(node) for node in call.inputs] + [ast.Name(name) for name in draft.sizes]
    tree = ast.Call(function, args, [])
    mark_call(tree, call.path, draft.method)
    scope.sizes_consumed.update(draft.sizes)
    if len(call.outputs) == 1 and isinstance(call.outputs[0].meta, Meta):
        node = call.outputs[0]
        scope.store(node, result_of(tree, node.meta, scope.size_hints))
        return
    targets: list[ast.expr] = [
        scope.size_variable(node)
        if isinstance(node.meta, Sym)
        else scope.result_variable(node, default=scope.names.target_name(node, call))
        for node in call.outputs
    ]
    if targets:
        scope.draft.assign(targets[0] if len(targets) == 1 else ast.Tuple(targets), tree)
    for node in call.outputs:
        scope.define_sizes(node)
