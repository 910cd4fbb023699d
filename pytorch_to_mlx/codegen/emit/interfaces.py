"""How methods that several instances of a class share are called: what they take and return, and by which names."""

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .draft import Draft

Callee = tuple[str, str]  # path of a module, name of its method


@dataclass
class Interface:
    """How one instance's draft is called through the method of its class.

    names: of the draft's parameters, in order. required: the method's parameters that every instance takes, in order.
    optional: its others, which are given by keyword. slots: for each result of the draft, its place among the method's
    results. n_slots: how many results the method has. same: results that are a parameter as it came in.
    """

    names: list[str]
    required: list[str]
    optional: list[str] = field(default_factory=list)
    slots: list[int] = field(default_factory=lambda: [0])
    n_slots: int = 1
    same: dict[int, str] = field(default_factory=dict)

    def call(self, method: Any, values: Sequence[Any]) -> list[Any]:
        """Call a method with the values of the draft's parameters. Returns the draft's results."""
        by_name = dict(zip(self.names, values, strict=True))
        keywords = {name: by_name[name] for name in self.optional if name in by_name}
        results = method(*(by_name[name] for name in self.required), **keywords)
        return [results] if self.n_slots == 1 else [results[slot] for slot in self.slots]


def mark_call(call: ast.Call, path: str, method: str) -> None:
    """Note which method a call in generated source calls."""
    call.callee = (path, method)  # type: ignore[attr-defined]


def callee_of(tree: ast.AST) -> Callee | None:
    """Return which method a call calls, if it was noted."""
    return getattr(tree, "callee", None)


def unchanged_results(call: ast.AST) -> frozenset[int]:
    """Return the results of a call that are what it was given, and that the caller assigns to the same variable."""
    return getattr(call, "unchanged", frozenset())


def adapt_calls(draft: Draft, interfaces: Mapping[Callee, Interface]) -> None:
    """Let a draft call its children as their classes are called. Missing arguments are given as None for now."""
    adapt = _Adapt(interfaces)
    draft.statements = [adapt.visit(statement) for statement in draft.statements]
    draft.results = [adapt.visit(result) for result in draft.results]


class _Adapt(ast.NodeTransformer):
    def __init__(self, interfaces: Mapping[Callee, Interface]) -> None:
        self._interfaces = interfaces

    def visit_Assign(self, node: ast.Assign) -> ast.Assign:
        interface = self._interfaces.get(callee_of(node.value) or ("", ""))
        if interface is None or interface.n_slots == 1:
            self.generic_visit(node)
            return node
        call = node.value
        assert isinstance(call, ast.Call)
        self.generic_visit(call)
        by_name = _arguments(call, interface)
        old = node.targets[0].elts if isinstance(node.targets[0], ast.Tuple) else [node.targets[0]]
        targets: list[ast.expr] = [ast.Name("_") for _ in range(interface.n_slots)]
        for slot, target in zip(interface.slots, old, strict=True):
            targets[slot] = target
        unchanged = {slot: by_name[name] for slot, name in interface.same.items()}
        names = {slot: tree.id for slot, tree in unchanged.items() if isinstance(tree, ast.Name)}
        for slot, name in names.items():
            targets[slot] = ast.Name(name)
        call.unchanged = frozenset(names)  # type: ignore[attr-defined]
        return ast.Assign([ast.Tuple(targets)], call)

    def visit_Call(self, node: ast.Call) -> ast.expr:
        self.generic_visit(node)
        interface = self._interfaces.get(callee_of(node) or ("", ""))
        if interface is None:
            return node
        _arguments(node, interface)
        if interface.n_slots == 1:
            return node
        if len(interface.slots) > 1:
            raise AssertionError("a call with several results inside an expression")
        return ast.Subscript(node, ast.Constant(interface.slots[0]))


def _arguments(call: ast.Call, interface: Interface) -> dict[str, ast.expr]:
    """Give a call its arguments as the method takes them. Returns those by name."""
    by_name = dict(zip(interface.names, call.args, strict=True))
    call.args = [by_name[name] for name in interface.required]
    call.keywords = [ast.keyword(name, by_name.get(name, ast.Constant(None))) for name in interface.optional]
    return by_name


class DropNone(ast.NodeTransformer):
    """Leave out the arguments of noted calls that are None, as their default is."""

    def visit_Call(self, node: ast.Call) -> ast.Call:
        self.generic_visit(node)
        if callee_of(node) is not None:
            node.keywords = [
                k for k in node.keywords if not (isinstance(k.value, ast.Constant) and k.value.value is None)
            ]
        return node
