"""Convert several methods of a module, not `forward` alone: each is captured on example inputs of its own."""

import contextlib
import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MethodType
from typing import Any

import torch
from torch import nn
from torch.utils import _pytree as pytree

from ...errors import UsageError
from ..graph import Node
from ..lowering.sizes import Hints
from ..paths import safe_name
from .captured import Captured, tied_names
from .example_values import learn_example
from .tensors import flat_tensors, place_of_values

FORWARD = "forward"
Examples = dict[str, tuple[tuple, dict[str, Any]]]  # method -> args, kwargs


@dataclass
class Entry:
    """One method to convert: its example inputs, and its capture on them.

    single: the user's own example, where that is a batch of one and the others are twice that.
    """

    name: str
    args: tuple
    kwargs: Mapping[str, Any]
    captured: Captured
    single: tuple[tuple, Mapping[str, Any]] | None = None

    @property
    def flat(self) -> list[Any]:
        """The leaves of the example inputs, in pytree order."""
        return pytree.tree_leaves((self.args, dict(self.kwargs)))

    @property
    def method(self) -> str:
        """The method's name in the generated class."""
        return "__call__" if self.name == FORWARD else safe_name(self.name)


@contextlib.contextmanager
def method_as_forward(module: nn.Module, name: str) -> Iterator[None]:
    """Make a call of the module a call of one of its methods."""
    if name == FORWARD:
        yield
        return

    @functools.wraps(getattr(type(module), name))
    def forward(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        stand_in = self.__dict__.pop("forward")  # if the method calls forward, that is the module's own
        try:
            return getattr(self, name)(*args, **kwargs)
        finally:
            self.__dict__["forward"] = stand_in

    original = module.__dict__.get("forward")
    module.__dict__["forward"] = MethodType(forward, module)
    try:
        yield
    finally:
        del module.__dict__["forward"]
        if original is not None:
            module.__dict__["forward"] = original


def examples_by_method(module: nn.Module, examples: Mapping[str, Any]) -> Examples:
    """Read example inputs by method, each a tensor, a tuple of arguments, a dict of keywords, or (tuple, dict).

    Raises: UsageError naming a key that is not a method of the module's class, or if there are none.
    """
    if not examples:
        raise UsageError("no method is given to convert", fix='give example inputs by method: {"encode": (x,)}')
    for name in examples:
        method = getattr(type(module), name, None) if isinstance(name, str) else None
        if not callable(method) or (hasattr(nn.Module, name) and name != FORWARD):
            raise UsageError(
                f"{name!r} is not a method of {type(module).__name__} that can be converted",
                fix="name methods of the class itself, each with its example inputs",
            )
    return {name: split_example(example) for name, example in examples.items()}


def split_example(example: Any) -> tuple[tuple, dict[str, Any]]:
    """Return (args, kwargs) of a tensor, a tuple of arguments, a dict of keywords, or (tuple, dict)."""
    if isinstance(example, Mapping):
        return (), dict(example)
    if isinstance(example, tuple):
        if len(example) == 2 and isinstance(example[0], tuple) and isinstance(example[1], Mapping):
            return example[0], dict(example[1])
        return example, {}
    return (example,), {}


def labelled(entries: Sequence[Entry], entry: Entry, text: str) -> str:
    """Put the method's name before the text where there are several methods."""
    return f"{entry.name}: {text}" if len(entries) > 1 else text


def share_weights(entries: Sequence[Entry]) -> None:
    """Make names and tensors one to one over all methods: one name for each tensor, one tensor for each name."""
    if len(entries) == 1:
        return
    users = {entry.name: entry.captured.graph.users() for entry in entries}

    def outside_embedding(read: tuple[Entry, Node]) -> bool:  # a tied tensor has its name in the embedding
        entry, node = read
        return all(user.op != "aten.embedding.default" for user in users[entry.name][node])

    names_by_place: dict[tuple, str] = {}
    tensors: dict[str, torch.Tensor] = {}
    reads = [(entry, node) for entry in entries for node in entry.captured.graph.nodes if node.op == "weight"]
    for entry, node in sorted(reads, key=outside_embedding):
        name = node.args[0]
        tensor = entry.captured.weights[name]
        place = place_of_values(tensor)
        shared = names_by_place.get(place) if place else None
        shared = shared or _free_name(name, tensor, tensors)
        if place is not None:
            names_by_place[place] = shared
        tensors.setdefault(shared, tensor)
        if shared != name:
            entry.captured.weights[shared] = tensor
            node.args = (shared,)


def _free_name(name: str, tensor: torch.Tensor, tensors: Mapping[str, torch.Tensor]) -> str:
    """Return the name, with a number behind it if another tensor has it."""
    free, number = name, 2
    while free in tensors and not _is_same(tensors[free], tensor):
        free, number = f"{name}_{number}", number + 1
    return free


def _is_same(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Tell whether two tensors are one, or were folded to the same values."""
    return one is other or (one.dtype == other.dtype and torch.equal(one, other))


def all_tied(entries: Sequence[Entry]) -> dict[str, list[str]]:
    """Return every name of every tied tensor, by each of them."""
    names: dict[str, list[str]] = {}
    for entry in entries:
        names |= tied_names(entry.captured.program)
    return names


def size_hints(entry: Entry) -> Hints:
    """Return the value of every dynamic size in the example inputs."""
    captured = entry.captured
    hints = Hints()
    for node, tensor in zip(captured.graph.inputs(), flat_tensors(entry.flat), strict=True):
        for size, actual in zip(node.meta.shape, tensor.shape, strict=True):
            if not isinstance(size, int) and size.is_Symbol:
                hints[size] = actual
    learn_example(hints, captured.program, entry.flat)
    hints.data = dict(hints.data) | captured.indices
    return hints
