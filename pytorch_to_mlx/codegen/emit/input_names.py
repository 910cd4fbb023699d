"""What `forward` calls the inputs of every module call, and their order as its parameters."""

import inspect
from collections.abc import Mapping
from typing import Any

from ..capture.methods import Entry
from ..capture.tensors import Module
from ..capture.watch import Values, fingerprint, watch_arguments
from ..graph import Node
from .call_tree import Call
from .source_names import SourceNames

InputNames = dict[tuple[str, int], dict[Node, str]]  # (path, number) of a call -> input -> parameter


def find_input_names(root: Call, entry: Entry, module: Module) -> InputNames:
    """Return the parameters that inputs go to: by equal values in the example, else by dtype and shape.

    The module must run the entry's method when it is called.
    """
    values = _fingerprints(root, entry)
    _, arguments = watch_arguments(module, entry.args, entry.kwargs)
    table: InputNames = {}
    for call in root.calls():
        key = call.path, call.number
        names = table.setdefault(key, {})
        unmatched = list(arguments.get(key, []))
        for node in call.inputs:
            match = next((item for item in unmatched if values.get(node.name) == item[1]), None)
            if match is not None:
                names[node] = match[0]
                unmatched.remove(match)
        while_traced = [item for item in entry.captured.traced_arguments.get(key, []) if item[0] not in names.values()]
        for node in call.inputs:
            value = values.get(node.name)
            if node in names or value is None:
                continue
            match = next((item for item in while_traced if item[1:] == value[:2]), None)
            if match is not None:
                names[node] = match[0]
                while_traced.remove(match)
    return table


def _fingerprints(root: Call, entry: Entry) -> dict[str, Any]:
    """Return the fingerprint of every input of every call, by node name. No value is kept longer than that takes."""
    fingerprints: dict[str, Any] = {}

    def take(name: str) -> None:
        fingerprints[name] = fingerprint(program.kept.pop(name))

    input_nodes = {node.name for call in root.calls() for node in call.inputs}
    program = Values(entry.captured.program, input_nodes, watch=take)
    program.compute(entry.flat)
    return fingerprints


def order_inputs(root: Call, names: SourceNames, modules: Mapping[str, Module]) -> None:
    """Sort the inputs of every call but the root's by `forward`'s parameters; those without a parameter come last."""
    for call in root.calls():
        if call is root or call.path not in modules:
            continue
        parameters = list(inspect.signature(modules[call.path].forward).parameters)
        places = {name: place for place, name in enumerate(parameters)}
        input_names = {node: names.argument_name(call, node) for node in call.inputs}
        call.inputs.sort(key=lambda node: places.get(input_names[node], len(places)))
