"""A module with example inputs: an object in memory, or what a Python factory returns."""

import importlib
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from ...errors import FormatError, UsageError
from ..capture.batches import capture_batches
from ..capture.captured import read_program
from ..capture.fx_graph import class_of
from ..capture.methods import FORWARD, Entry, Examples, examples_by_method, method_as_forward, split_example
from ..extensions import UserCode, load_file


@dataclass
class ModuleSource:
    """A module with example inputs, ready to be captured.

    Attributes:
        text: how the user named it, so that `validate` finds it again; empty for an object in memory.
        program: the exported program that it was opened from, if any.
        methods: example inputs by method, to convert other methods than `forward`; args and kwargs are then empty.
    """

    module: nn.Module
    args: tuple = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    text: str = ""
    program: Any = None
    methods: Examples = field(default_factory=dict)

    @property
    def class_name(self) -> str:
        """The name of the module's class, without its package."""
        return class_of(self.module, self.program and self.program.graph).rpartition(".")[2]

    def entries(self) -> list[Entry]:
        """Capture every method to convert.

        Raises: FormatError for TorchScript, and for a method that torch.export cannot capture.
        """
        if any(isinstance(part, torch.jit.ScriptModule) for part in self.module.modules()):
            raise FormatError(f"{self.class_name} is TorchScript", fix="give the original nn.Module")
        if self.program is not None:
            return [Entry(FORWARD, self.args, self.kwargs, read_program(self.program))]
        entries = []
        for name, (args, kwargs) in (self.methods or {FORWARD: (self.args, self.kwargs)}).items():
            with method_as_forward(self.module, name):
                captured, twice = capture_batches(self.module, args, kwargs)
                example = twice or (args, kwargs)
                entries.append(Entry(name, *example, captured, (args, kwargs) if twice else None))
        return entries


def call_factory(text: str, place: str, function: str) -> ModuleSource:
    """Call the user's factory, `function` of the Python file or package.module `place`, and check what it returns.

    A factory returns (module, args) or (module, args, kwargs) with example inputs, or (module, methods) with a dict of
    example inputs by method.
    Raises: UsageError if there is no such function, if it raises, or if it returns anything else.
    """
    if place.endswith(".py"):
        home = load_file(place)
    else:
        top = place.partition(".")[0]
        if importlib.util.find_spec(top) is None:
            raise UsageError(f"no Python module {place!r}", fix="give package.module:function")
        with UserCode(place):
            home = importlib.import_module(place)
    factory = getattr(home, function, None)
    if not callable(factory):
        raise UsageError(f"{place} has no function {function!r}")
    with UserCode(text):
        result = factory()
    match result if isinstance(result, tuple) else ():
        case (nn.Module() as module, Mapping() as methods):
            return ModuleSource(module, text=text, methods=examples_by_method(module, methods))
        case (nn.Module() as module, (tuple(), Mapping()) as example):
            return ModuleSource(module, *split_example(example), text=text)
        case (nn.Module() as module, args):
            return ModuleSource(module, args if isinstance(args, tuple) else (args,), text=text)
        case (nn.Module() as module, args, kwargs):
            return ModuleSource(module, args if isinstance(args, tuple) else (args,), dict(kwargs), text)
    kind = type(result).__name__
    raise UsageError(
        f"{text} must return (module, args), (module, args, kwargs) or (module, methods), found {kind}",
        fix="args is a tuple of example inputs, kwargs a dict, methods a dict of example inputs by method",
    )


def from_object(module: nn.Module, example_inputs: Any, methods: Mapping[str, Any] | None) -> ModuleSource:
    """Return the source of a module in memory.

    Args:
        example_inputs: a tensor, a tuple of arguments, a dict of keywords, or (tuple, dict).
        methods: such example inputs by method, in place of those of `forward`.

    Raises: UsageError naming a key of methods that is not a method of the module's class.
    """
    if methods is not None:
        return ModuleSource(module, methods=examples_by_method(module, methods))
    return ModuleSource(module, *split_example(example_inputs))
