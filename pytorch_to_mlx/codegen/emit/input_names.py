"""What `forward` calls the inputs of every module call, and their order as its parameters; the order of its results."""

import inspect
from collections.abc import Mapping
from typing import Any

from ..capture.methods import Entry
from ..capture.tensors import Module
from ..capture.watch import Arguments, Results, Values, fingerprint, watch_arguments
from ..graph import Node
from .call_tree import Call
from .source_names import SourceNames

InputNames = dict[tuple[str, int], dict[Node, str]]  # (path, number) of a call -> input -> parameter
ResultPlaces = dict[tuple[str, int], dict[Node, int]]  # (path, number) of a call -> output -> its place in the tuple


def find_names(root: Call, entry: Entry, module: Module) -> tuple[InputNames, ResultPlaces]:
    """Return the parameters that inputs go to, and the places of outputs in what `forward` returns.

    Inputs are recognised by equal values in the example, else by dtype and shape; outputs by equal values.
    The module must run the entry's method when it is called.
    """
    values = _fingerprints(root, entry)
    results: Results = {}
    _, arguments = watch_arguments(module, entry.args, entry.kwargs, results)
    return _input_names(root, entry, values, arguments), _result_places(root, values, results)


def _result_places(root: Call, values: dict[str, Any], results: Results) -> ResultPlaces:
    table: ResultPlaces = {}
    for call in root.calls():
        unmatched = dict(enumerate(results.get((call.path, call.number), [])))
        places = table.setdefault((call.path, call.number), {})
        for node in call.outputs:
            value = values.get(node.name)
            match = next((place for place, print_ in unmatched.items() if print_ is not None and print_ == value), None)
            if match is not None:
                places[node] = match
                del unmatched[match]
    return table


def _input_names(root: Call, entry: Entry, values: dict[str, Any], arguments: Arguments) -> InputNames:
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
    """Return the fingerprint of all inputs and outputs of calls, by node name. No value is kept longer than needed."""
    fingerprints: dict[str, Any] = {}

    def take(name: str) -> None:
        fingerprints[name] = fingerprint(program.kept.pop(name))

    nodes = {node.name for call in root.calls() for node in (*call.inputs, *call.outputs)}
    program = Values(entry.captured.program, nodes, watch=take)
    program.compute(entry.flat)
    return fingerprints


def order_signature(root: Call, names: SourceNames, modules: Mapping[str, Module]) -> None:
    """Sort the inputs of every call but the root's by `forward`'s parameters, and the outputs by what it returns.

    What is no parameter or result comes last.
    """
    for call in root.calls():
        if call is root or call.path not in modules:
            continue
        parameters = list(inspect.signature(modules[call.path].forward).parameters)
        places = {name: place for place, name in enumerate(parameters)}
        input_names = {node: names.argument_name(call, node) for node in call.inputs}
        call.inputs.sort(key=lambda node: places.get(input_names[node], len(places)))
        call.outputs.sort(key=lambda node: names.result_place(call, node))
