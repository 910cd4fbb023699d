"""Let classes that hold tensors be inputs and outputs of a capture: dataclasses, and subclasses of dict."""

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.utils import _pytree as pytree


def register_trees(value: Any) -> None:
    """Tell torch the parts of the objects in a value, by class, where it does not know them."""
    kind = type(value)
    if isinstance(value, type) or isinstance(value, torch.Tensor | nn.Module):
        return
    if dataclasses.is_dataclass(value):
        parts: Any = [getattr(value, field.name) for field in dataclasses.fields(value)]
        if kind not in pytree.SUPPORTED_NODES:
            torch.export.register_dataclass(kind)
    elif isinstance(value, dict):
        parts = list(value.values())
        if kind not in pytree.SUPPORTED_NODES:
            pytree.register_pytree_node(
                kind,
                lambda mapping: (list(mapping.values()), list(mapping)),
                lambda values, keys: dict(zip(keys, values, strict=True)),
                serialized_type_name=f"{kind.__module__}.{kind.__qualname__}",
                to_dumpable_context=list,
                from_dumpable_context=list,
            )
    else:
        parts = value if isinstance(value, list | tuple) else ()
    for part in parts:
        register_trees(part)


@contextmanager
def register_outputs(module: nn.Module) -> Iterator[None]:
    """Register what a module returns while it is traced."""
    handle = module.register_forward_hook(lambda module, args, result: register_trees(result))
    try:
        yield
    finally:
        handle.remove()
