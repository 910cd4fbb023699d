"""From a captured module to MLX source: the steps in order."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import mlx.core as mx

from ..capture.fx_graph import class_of
from ..capture.methods import Entry, method_as_forward, share_weights, size_hints
from ..capture.tensors import Module, Tensor, dtype_name
from ..graph import Meta, Node, Sym, leaves
from ..paths import current_module_lists, module_lists
from .call_tree import CONTAINERS, Call, call_tree, connect, foreign_calls, hoist_views, inline_calls, trivial_calls
from .class_methods import ClassMethods
from .classes import Classes, build_classes, method_arguments
from .draft import Draft
from .input_names import find_names, order_signature
from .interfaces import Callee, Interface
from .layers import Layer, find_layers
from .method_calls import MethodCalls
from .module_text import module_text, require_ruff
from .module_tree import build_module_tree
from .signature import check_shapes, name_checked, nest_inputs, nest_outputs
from .simplify import simplify
from .source_names import SourceNames
from .user_modules import find_user_layers, match_user_calls, weights_outside
from .weights import Weights
from .write_method import write_method


@dataclass
class Generated:
    """Source, weights under their names in it, and the module calls that can be checked one by one.

    roots: the call of each converted method. drafts: the generated method of each call. layers: the modules that are a
    layer of mlx.nn or a user's module. renamed: original names of tensors that had to change. arguments: what each
    method of the generated class takes. originals: the original names of the tensors that are used. shared_layers:
    layers whose weight is also read outside of them, so that it cannot be quantized. interfaces: how the methods of
    submodules are called, by path and name. sizes: what the model is constructed with.
    """

    source: str
    weights: Mapping[str, mx.array]
    roots: dict[str, Call]
    drafts: dict[Call, Draft]
    layers: dict[str, Layer]
    renamed: dict[str, str] = field(default_factory=dict)
    class_name: str = ""
    arguments: dict[str, list[str]] = field(default_factory=dict)
    originals: list[str] = field(default_factory=list)
    shared_layers: set[str] = field(default_factory=set)
    module_lists: frozenset[str] = frozenset()
    interfaces: dict[Callee, Interface] = field(default_factory=dict)
    sizes: dict[str, Any] = field(default_factory=dict)


def generate(entries: Sequence[Entry], module: Module) -> Generated:
    """Return the MLX source of a module from what was captured of its methods.

    Raises: MissingExtraError without ruff; Unsupported for an op or an argument that has no MLX form.
    """
    require_ruff()
    frames = {frame for entry in entries for node in entry.captured.graph.nodes for frame in node.stack}
    own_code = {frame.path for frame in frames if not frame.class_name.startswith(CONTAINERS)}
    with module_lists(frozenset({"", *own_code})):
        return _generate(entries, module)


def _generate(entries: Sequence[Entry], module: Module) -> Generated:
    share_weights(entries)
    methods = [read_calls(entry, module) for entry in entries]
    user_layers = {path: layer for method in methods for path, layer in method.user_layers.items()}
    layers = find_layers(method.root for method in methods) | user_layers
    class_methods = ClassMethods()
    drafts: dict[Call, Draft] = {}
    for method in methods:
        inline_small_calls(method, layers)
        names = observe_calls(method, layers, module)
        drafts |= write_calls(method, layers, names, class_methods)
        nest_signature(method, drafts[method.root], module)
        class_methods.add_root(drafts[method.root], method.entry.method)
    weights = weights_read(methods)
    classes = write_classes(methods, class_methods, layers, weights, module)
    arrays = Weights(weights, layers)
    user_modules = [layer.user_module for layer in user_layers.values() if layer.user_module is not None]
    return Generated(
        source=module_text(
            classes.definitions,
            set().union(*(draft.helpers for draft in drafts.values())),
            _title(methods[0].root.class_name),
            dict.fromkeys(user_module.replacement.mlx_class for user_module in user_modules),
            has_sizes=bool(classes.sizes),
        ),
        weights=arrays,
        roots={method.entry.name: method.root for method in methods},
        drafts=drafts,
        layers=layers,
        renamed=arrays.renamed,
        class_name=classes.definitions[-1].name,
        arguments={entry.method: method_arguments(classes.definitions[-1], entry.method) for entry in entries},
        originals=[*weights, *(name for user_module in user_modules for name in user_module.originals)],
        shared_layers=set().union(*(draft.shared_layers for draft in drafts.values())),
        module_lists=current_module_lists(),
        interfaces=classes.interfaces,
        sizes=classes.sizes,
    )


def _title(root_class: str) -> str:
    return f"{root_class.rpartition('.')[2]} in MLX, written by pytorch-to-mlx.\n\nOriginal: {root_class}\n"


def read_calls(entry: Entry, module: Module) -> MethodCalls:
    """Return the module calls of a method's simplified graph, with the submodules that users' modules stand for."""
    hints = size_hints(entry)
    graph = simplify(entry.captured.graph, hints, entry.captured.updates)
    root = call_tree(graph, class_of(module, entry.captured.program.graph))
    hoist_views(root)
    connect(root, graph)
    return MethodCalls(entry, hints, graph, root, find_user_layers(root, graph, module))


def inline_small_calls(method: MethodCalls, layers: Mapping[str, Layer]) -> None:
    """Move what gets no class of its own, and what its caller has no path to, into the callers."""
    root = method.root
    layer_calls = {call for call in root.calls() if call.path in layers}
    inline_calls(root, trivial_calls(root) - layer_calls | foreign_calls(root))
    connect(root, method.graph)


def observe_calls(method: MethodCalls, layers: Mapping[str, Layer], module: Module) -> SourceNames:
    """Run a method on its example, to learn what its calls take and return. Returns the names of values in the source.

    Sets the outputs of the root, and the order of every call's inputs and outputs.
    """
    entry, root = method.entry, method.root
    modules = dict(module.named_modules())
    with method_as_forward(module, entry.name):
        match_user_calls(method, layers, module)
        outputs = leaves(method.graph.output.args, Node)
        root.outputs = list(dict.fromkeys([*outputs, *entry.captured.updates.values()]))
        names = SourceNames(modules, *find_names(root, entry, module))
    order_signature(root, names, modules)
    return names


def write_calls(
    method: MethodCalls, layers: Mapping[str, Layer], names: SourceNames, class_methods: ClassMethods
) -> dict[Call, Draft]:
    """Return the draft of every call that is not a layer, innermost first; adds all but the root's to the classes."""
    drafts: dict[Call, Draft] = {}
    for call in reversed(list(method.root.calls())):
        if call.path in layers:
            continue
        is_root = call is method.root
        guards = method.entry.captured.guards if is_root else ()
        numbers = list(leaves(method.graph.output.args, Sym)) if is_root else ()
        drafts[call] = write_method(call, layers, drafts, names, method.hints, guards, numbers)
        if call is not method.root:
            class_methods.add_call(drafts[call])
    return drafts


def nest_signature(method: MethodCalls, draft: Draft, module: Module) -> None:
    """Let a method of the model take and return what the original does."""
    nest_outputs(draft, method.entry, method.graph)
    checks = check_shapes(draft)
    nest_inputs(draft, method.entry, module)
    name_checked(checks, draft)


def weights_read(methods: Sequence[MethodCalls]) -> dict[str, tuple[Tensor, Meta]]:
    """Return the tensors that the code outside of users' modules reads or writes, by name."""
    weights: dict[str, tuple[Tensor, Meta]] = {}
    for method in methods:
        names, tensors = weights_outside(method), method.entry.captured.weights
        nodes = [node for node in method.graph.nodes if node.op == "weight" and node.args[0] in names]
        weights = {node.args[0]: (tensors[node.args[0]], node.meta) for node in nodes} | weights
        for name in method.entry.captured.updates:
            meta = Meta(tuple(tensors[name].shape), dtype_name(tensors[name].dtype))
            weights.setdefault(name, (tensors[name], meta))
    return weights


def write_classes(
    methods: Sequence[MethodCalls],
    class_methods: ClassMethods,
    layers: Mapping[str, Layer],
    weights: Mapping[str, tuple[Tensor, Meta]],
    module: Module,
) -> Classes:
    """Return the classes of the model, its own last."""
    metas = {name: meta for name, (_, meta) in weights.items()}
    order = {name: place for place, name in enumerate(_declared_names(module))}
    tree = build_module_tree(class_methods.by_path(), layers, metas, order)
    class_names = {call.path: call.class_name for method in methods for call in method.root.calls()}
    return build_classes(tree, class_names, dict(module.named_modules()))


def _declared_names(module: Module) -> list[str]:
    """Return the dotted names of modules and tensors in the order in which the module declares them."""
    names = []
    for path, child in module.named_modules():
        names.append(path)
        names += [f"{path}.{name}" if path else name for name in (*child._parameters, *child._buffers)]
    return names
