"""From a captured module to MLX source: the steps in order."""

import ast
import inspect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import mlx.core as mx

from ..capture.export import Captured
from ..capture.fx_graph import class_of
from ..capture.methods import Entry, method_as_forward, share_weights, size_hints
from ..capture.tensors import Module, Tensor
from ..capture.watch import Values, fingerprint, watch_arguments
from ..extensions import replacement_for
from ..graph import Graph, Meta, Node, leaves
from ..lowering.sizes import Hints
from ..paths import layered, layered_now
from .call_tree import CONTAINERS, Call, call_tree, connect, dissolve, foreign_calls, hoist_views, trivial_calls
from .classes import build_classes, method_arguments
from .layers import Leaf, match_leaf
from .module_text import module_text, require_ruff
from .module_tree import place_tree
from .naming import choose_names
from .signature import input_tree, output_tree
from .simplify import simplify
from .source_names import SourceNames
from .user_modules import find_replaced, outside_weights, wire
from .weights import Weights
from .writer import Writer, Written


@dataclass
class Generated:
    """Source, weights under their names in it, and the module calls that can be checked one by one.

    roots: the tree of calls of each converted method. originals: the original names of the tensors that are used.
    renamed: those that had to change. raw: layers whose weight is also read outside of them, so that it cannot be
    quantized. arguments: what each method of the generated class takes.
    """

    source: str
    weights: Mapping[str, mx.array]
    roots: dict[str, Call]
    calls: dict[Call, Written]
    leaves: dict[str, Leaf]
    renamed: dict[str, str] = field(default_factory=dict)
    class_name: str = ""
    arguments: dict[str, list[str]] = field(default_factory=dict)
    originals: list[str] = field(default_factory=list)
    raw: set[str] = field(default_factory=set)
    layered: frozenset[str] = frozenset()


@dataclass
class Part:
    """One method on its way into source."""

    entry: Entry
    flat: list[Any]
    hints: Hints
    graph: Graph
    root: Call
    replaced: dict[str, Leaf]


def generate(entries: Sequence[Entry], module: Module) -> Generated:
    """Write the MLX source of a module from what was captured of its methods."""
    require_ruff()
    frames = {frame for entry in entries for node in entry.captured.graph.nodes for frame in node.stack}
    own_code = {frame.path for frame in frames if not frame.class_name.startswith(CONTAINERS)}
    with layered(frozenset({"", *own_code})):
        return _generate(entries, module)


def _generate(entries: Sequence[Entry], module: Module) -> Generated:
    share_weights(entries)
    modules = dict(module.named_modules())
    parts = [_call_tree(entry, module) for entry in entries]
    replaced = {path: leaf for part in parts for path, leaf in part.replaced.items()}
    found = find_leaves([part.root for part in parts]) | replaced
    written: dict[Call, Written] = {}
    bodies: dict[str, dict[str, Written]] = {}  # path -> code -> the first call with it
    for part in parts:
        _write(part, found, module, modules, written, bodies)
    roots = {part.entry.name: part.root for part in parts}
    calls = [call for root in roots.values() for call in root.calls()]
    weights: dict[str, tuple[Tensor, Meta]] = {}
    for part in parts:
        read = outside_weights(part.graph, part.root, replaced)
        weights = used_weights(part.graph, part.entry.captured, read) | weights
    order = {name: place for place, name in enumerate(_declared(module))}
    codes = {path: list(different.values()) for path, different in bodies.items()}
    tree = place_tree(codes, found, {name: meta for name, (_, meta) in weights.items()}, order)
    classes = build_classes(tree, {call.path: call.class_name for call in calls}, modules)
    helpers = set().union(*(one.helpers for one in written.values()))
    root_class = parts[0].root.class_name
    title = f"{root_class.rpartition('.')[2]} in MLX, written by pytorch-to-mlx.\n\nOriginal: {root_class}\n"
    raw = set().union(*(one.raw for one in written.values()))
    arrays = Weights(weights, found)
    users = [leaf.replaced.replacement.mlx_class for leaf in replaced.values()]
    text = module_text(classes, helpers, title, dict.fromkeys(users))
    originals = [*weights, *(name for leaf in replaced.values() for name in leaf.replaced.state)]
    arguments = {entry.method: method_arguments(classes[-1], entry.method) for entry in entries}
    name = classes[-1].name
    return Generated(
        text, arrays, roots, written, found, arrays.renamed, name, arguments, originals, raw, layered_now()
    )


def _call_tree(entry: Entry, module: Module) -> Part:
    """The module calls of a method, and those that a registered module stands for."""
    hints = size_hints(entry)
    graph = simplify(entry.captured.graph, hints)
    root = call_tree(graph, class_of(module, entry.captured.program.graph))
    hoist_views(root)
    connect(root, graph)
    return Part(entry, entry.flat, hints, graph, root, find_replaced(root, graph, module))


def _write(
    part: Part,
    found: Mapping[str, Leaf],
    module: Module,
    modules: Mapping[str, Module],
    written: dict[Call, Written],
    bodies: dict[str, dict[str, Written]],
) -> None:
    """Write every call of a method, innermost first."""
    entry, graph, root = part.entry, part.graph, part.root
    captured = entry.captured
    dissolve(root, trivial_calls(root) - {call for call in root.calls() if call.path in found} | foreign_calls(root))
    connect(root, graph)
    with method_as_forward(module, entry.name):
        wire(root, graph, part.replaced, captured, module, entry.args, entry.kwargs, part.flat)
        outputs = list(dict.fromkeys(leaves(graph.output.args, Node)))
        root.outputs = list(dict.fromkeys([*outputs, *captured.updates.values()]))
        names = SourceNames(modules, argument_names(root, captured, module, entry.args, entry.kwargs, part.flat))
        order_inputs(root, names, modules)
        for call in reversed(list(root.calls())):
            if call.path in found:
                continue
            guards = captured.guards if call is root else ()
            written[call] = one = Writer(call, found, written, names, part.hints, guards).write()
            if call is not root:
                add_variant(bodies.setdefault(call.path, {}), one)
        top = written[root]
        output_tree(top, captured, graph.output.args[0])
        input_tree(top, module, entry.args, entry.kwargs)
    top.method = entry.method
    methods = bodies.setdefault("", {})
    own_constants(methods.values(), top)
    methods[entry.method] = top


def find_leaves(roots: Iterable[Call]) -> dict[str, Leaf]:
    """Paths of modules whose every call is the same layer of mlx.nn."""
    found: dict[str, Leaf | None] = {}
    for call in (call for root in roots for call in root.calls()):
        if not call.path or replacement_for(call.class_name):
            continue
        leaf = match_leaf(call)
        found[call.path] = leaf if found.get(call.path, leaf) == leaf else None
    return {path: leaf for path, leaf in found.items() if leaf is not None}


def argument_names(
    root: Call, captured: Captured, module: Module, args: tuple, kwargs: Mapping[str, Any], flat: list[Any]
) -> dict[tuple[str, int], dict[Node, str]]:
    """What `forward` calls the inputs of every call, found by equal values, else by dtype and shape."""
    wanted = {node.name for call in root.calls() for node in call.inputs}
    values: dict[str, Any] = {}

    def made(name: str) -> None:
        values[name] = fingerprint(program.kept.pop(name))

    program = Values(captured.program, wanted, watch=made)
    program.compute(flat)
    _, seen = watch_arguments(module, args, kwargs)
    table: dict[tuple[str, int], dict[Node, str]] = {}
    for call in root.calls():
        given = list(seen.get((call.path, call.number), []))
        named = table.setdefault((call.path, call.number), {})
        for node in call.inputs:
            match = next((item for item in given if values.get(node.name) == item[1]), None)
            if match is not None:
                named[node] = match[0]
                given.remove(match)
        traced = [item for item in captured.given.get((call.path, call.number), []) if item[0] not in named.values()]
        for node in call.inputs:
            value = values.get(node.name)
            if node in named or value is None:
                continue
            match = next((item for item in traced if item[1:] == value[:2]), None)
            if match is not None:
                named[node] = match[0]
                traced.remove(match)
    return table


def order_inputs(root: Call, names: SourceNames, modules: Mapping[str, Module]) -> None:
    """Inputs in the order of `forward`'s parameters; those it does not name come last."""
    for call in root.calls():
        if call is root or call.path not in modules:
            continue
        parameters = list(inspect.signature(modules[call.path].forward).parameters)

        def place(node: Node, call: Call = call, parameters: list[str] = parameters) -> int:
            name = names.argument(call, node)
            return parameters.index(name) if name in parameters else len(parameters)

        call.inputs.sort(key=place)


def add_variant(bodies: dict[str, Written], one: Written) -> None:
    """Number the different codes of one module's calls."""
    code = _code(one)
    if code in bodies:
        one.method = bodies[code].method
        return
    one.method = f"call_{len(bodies)}" if bodies else "__call__"
    own_constants(bodies.values(), one)
    bodies[code] = one


def _code(written: Written) -> str:
    """The code as it will be read: dynamic sizes of two captures have different names before names are chosen."""
    body = choose_names(written)
    parts = [*body.statements, *body.results, *written.constants.values()]
    return "\n".join([str(body.args), *written.constants, *(ast.dump(part) for part in parts)])


def own_constants(others: Iterable[Written], one: Written) -> None:
    """Rename attributes of a method whose name another method of the class has for another value."""
    others = list(others)
    for name, tree in list(one.constants.items()):
        free = name
        while any(free in other.constants and ast.dump(other.constants[free]) != ast.dump(tree) for other in others):
            free += "_"
        if free == name:
            continue
        one.constants[free] = one.constants.pop(name)
        for part in (part for tree in [*one.statements, *one.results] for part in ast.walk(tree)):
            if isinstance(part, ast.Attribute) and part.attr == name and isinstance(part.value, ast.Name):
                part.attr = free if part.value.id == "self" else name


def used_weights(graph: Any, captured: Captured, read: set[str]) -> dict[str, tuple[Tensor, Meta]]:
    """The tensors that the simplified graph still reads."""
    return {
        node.args[0]: (captured.weights[node.args[0]], node.meta)
        for node in graph.nodes
        if node.op == "weight" and node.args[0] in read
    }


def _declared(module: Module) -> list[str]:
    """Dotted names of modules and tensors in the order in which the module declares them."""
    names = []
    for path, child in module.named_modules():
        names.append(path)
        own = [*child._parameters, *child._buffers]
        names += [f"{path}.{name}" if path else name for name in own]
    return names
