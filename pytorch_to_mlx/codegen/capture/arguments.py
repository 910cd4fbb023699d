"""The arguments of an example call by name, and which of them are fixed: numbers, flags and text."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.utils import _pytree as pytree


def named_arguments(function: Callable, args: tuple, kwargs: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Return the arguments of a call with the names of its parameters, in the order in which generated source has them.

    Keywords that are fixed come last: they have a default.
    """
    parameters = inspect.signature(function).parameters.values()
    positional = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    names = [*positional[: len(args)], *(f"inputs_{i}" for i in range(len(positional), len(args)))]
    return [*zip(names, args, strict=True), *sorted(kwargs.items(), key=lambda item: is_fixed(item[1]))]


def is_fixed(value: Any) -> bool:
    """Tell whether an argument is a number, a flag, text, or a list or tuple of these: written into the source."""
    if isinstance(value, list | tuple):
        return bool(value) and all(map(is_fixed, value))
    return isinstance(value, bool | int | float | str)


def distinct_tensors(tree: Any) -> Any:
    """Return a tree in which no tensor occurs twice: torch takes two inputs that are one tensor for one input."""
    seen: set[int] = set()

    def distinct(tensor: torch.Tensor) -> torch.Tensor:
        if id(tensor) in seen:
            return tensor.clone()
        seen.add(id(tensor))
        return tensor

    return pytree.tree_map_only(torch.Tensor, distinct, tree)
