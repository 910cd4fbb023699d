"""A module with example inputs: an object in hand, or what a Python factory returns."""

import importlib
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from ...errors import UsageError
from ..capture.export import capture, read_program
from ..capture.fx_graph import class_of
from ..capture.methods import FORWARD, Entry, Examples, entered, examples_by_method, split_example
from ..extensions import UserCode, load_file


@dataclass
class ModuleSource:
    """A module with example inputs. text: how the user named it, so that `validate` finds it again.

    methods: example inputs by method, where others than `forward` are wanted; args and kwargs are then empty.
    """

    module: nn.Module
    args: tuple = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    text: str = ""
    program: Any = None
    methods: Examples = field(default_factory=dict)

    @property
    def class_name(self) -> str:
        """The module's class, without its package."""
        return class_of(self.module, self.program and self.program.graph).rpartition(".")[2]

    def entries(self) -> list[Entry]:
        """Every method to convert, captured."""
        if self.program is not None:
            return [Entry(FORWARD, self.args, self.kwargs, read_program(self.program))]
        found = []
        for name, (args, kwargs) in (self.methods or {FORWARD: (self.args, self.kwargs)}).items():
            with entered(self.module, name):
                found.append(Entry(name, args, kwargs, capture(self.module, args, kwargs)))
        return found


def call_factory(text: str, place: str, function: str) -> ModuleSource:
    """Call a function that returns (module, args) or (module, args, kwargs) with example inputs, or (module, methods)
    with a dict of example inputs by method."""
    if place.endswith(".py"):
        found = load_file(place)
    else:
        top = place.partition(".")[0]
        if importlib.util.find_spec(top) is None:
            raise UsageError(f"no Python module {place!r}", fix="give package.module:function")
        with UserCode(place):
            found = importlib.import_module(place)
    factory = getattr(found, function, None)
    if not callable(factory):
        raise UsageError(f"{place} has no function {function!r}")
    with UserCode(text):
        made = factory()
    if isinstance(made, tuple) and len(made) == 2 and isinstance(made[0], nn.Module) and isinstance(made[1], Mapping):
        return ModuleSource(made[0], text=text, methods=examples_by_method(*made))
    if isinstance(made, tuple) and len(made) in (2, 3) and isinstance(made[0], nn.Module):
        args = made[1] if isinstance(made[1], tuple) else (made[1],)
        return ModuleSource(made[0], args, dict(made[2]) if len(made) == 3 else {}, text)
    raise UsageError(
        f"{text} must return (module, args), (module, args, kwargs) or (module, methods), found {type(made).__name__}",
        fix="args is a tuple of example inputs, kwargs a dict, methods a dict of example inputs by method",
    )


def from_object(module: nn.Module, example_inputs: Any, methods: Mapping[str, Any] | None) -> ModuleSource:
    """A module in hand. example_inputs: a tensor, a tuple of arguments, a dict of keywords, or (tuple, dict).

    methods: such example inputs by method, in place of those of `forward`.
    """
    if methods is not None:
        return ModuleSource(module, methods=examples_by_method(module, methods))
    return ModuleSource(module, *split_example(example_inputs))
