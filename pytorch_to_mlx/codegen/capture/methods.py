"""The methods of a module that are converted: `forward`, or several of them, each with example inputs of its own."""

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
from .export import Captured, tied_names
from .guards import fitting_sizes
from .tensors import place_of_values

FORWARD = "forward"
Examples = dict[str, tuple[tuple, dict[str, Any]]]  # method -> args, kwargs


@dataclass
class Entry:
    """One method, the example inputs it was captured with, and what was captured."""

    name: str
    args: tuple
    kwargs: Mapping[str, Any]
    captured: Captured

    @property
    def flat(self) -> list[Any]:
        """The leaves of the example inputs."""
        return pytree.tree_leaves((self.args, dict(self.kwargs)))

    @property
    def method(self) -> str:
        """What the generated class calls it."""
        return "__call__" if self.name == FORWARD else safe_name(self.name)


@contextlib.contextmanager
def entered(module: nn.Module, name: str) -> Iterator[None]:
    """While this lasts, a call of the module is a call of one of its methods."""
    if name == FORWARD:
        yield
        return

    @functools.wraps(getattr(type(module), name))
    def forward(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        mine = self.__dict__.pop("forward")  # what the method calls is the module's own forward
        try:
            return getattr(self, name)(*args, **kwargs)
        finally:
            self.__dict__["forward"] = mine

    before = module.__dict__.get("forward")
    module.__dict__["forward"] = MethodType(forward, module)
    try:
        yield
    finally:
        del module.__dict__["forward"]
        if before is not None:
            module.__dict__["forward"] = before


def examples_by_method(module: nn.Module, given: Mapping[str, Any]) -> Examples:
    """Example inputs by method, each a tensor, a tuple of arguments, a dict of keywords, or (tuple, dict).

    Raises: UsageError naming what is no method of the module's class.
    """
    if not given:
        raise UsageError("no method is given to convert", fix='give example inputs by method: {"encode": (x,)}')
    for name in given:
        method = getattr(type(module), name, None) if isinstance(name, str) else None
        if not callable(method) or (hasattr(nn.Module, name) and name != FORWARD):
            raise UsageError(
                f"{name!r} is no method of {type(module).__name__} that can be converted",
                fix="name methods of the class itself, each with its example inputs",
            )
    return {name: split_example(example) for name, example in given.items()}


def split_example(example: Any) -> tuple[tuple, dict[str, Any]]:
    """(args, kwargs) of a tensor, a tuple of arguments, a dict of keywords, or (tuple, dict)."""
    if isinstance(example, Mapping):
        return (), dict(example)
    if isinstance(example, tuple):
        if len(example) == 2 and isinstance(example[0], tuple) and isinstance(example[1], Mapping):
            return example[0], dict(example[1])
        return example, {}
    return (example,), {}


def labelled(entries: Sequence[Entry], entry: Entry, text: str) -> str:
    """The text, with the method before it where there are several."""
    return f"{entry.name}: {text}" if len(entries) > 1 else text


def share_weights(entries: Sequence[Entry]) -> None:
    """One name for each tensor, and one tensor for each name, in what several methods read."""
    if len(entries) == 1:
        return
    users = {entry.name: entry.captured.graph.users() for entry in entries}

    def elsewhere(read: tuple[Entry, Node]) -> bool:  # a tied tensor has its name in the embedding
        entry, node = read
        return all(user.op != "aten.embedding.default" for user in users[entry.name][node])

    homes: dict[tuple, str] = {}
    taken: dict[str, torch.Tensor] = {}
    reads = [(entry, node) for entry in entries for node in entry.captured.graph.nodes if node.op == "weight"]
    for entry, node in sorted(reads, key=elsewhere):
        name = node.args[0]
        tensor = entry.captured.weights[name]
        place = place_of_values(tensor)
        home = homes.get(place) if place else None
        home = home or _free(name, tensor, taken)
        if place is not None:
            homes[place] = home
        taken.setdefault(home, tensor)
        if home != name:
            entry.captured.weights[home] = tensor
            node.args = (home,)


def _free(name: str, tensor: torch.Tensor, taken: Mapping[str, torch.Tensor]) -> str:
    """The name, with a number behind it if another tensor has it."""
    free, number = name, 2
    while free in taken and taken[free] is not tensor:
        free, number = f"{name}_{number}", number + 1
    return free


def all_tied(entries: Sequence[Entry]) -> dict[str, list[str]]:
    """Every name of every tied tensor, by each of them."""
    found: dict[str, list[str]] = {}
    for entry in entries:
        found |= tied_names(entry.captured.program)
    return found


def size_hints(entry: Entry) -> Hints:
    """The value of every dynamic size in the example inputs."""
    captured = entry.captured
    tensors = [item for item in entry.flat if isinstance(item, torch.Tensor)]
    hints = Hints()
    for node, tensor in zip(captured.graph.inputs(), tensors, strict=True):
        for size, actual in zip(node.meta.shape, tensor.shape, strict=True):
            if not isinstance(size, int) and size.is_Symbol:
                hints[size] = actual
    hints.data = fitting_sizes(captured.program, hints)
    return hints
