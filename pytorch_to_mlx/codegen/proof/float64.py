"""A module in float64 without a second copy of its weights: each is widened where an op uses it, and freed again."""

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.utils import _pytree as pytree

# Ops that only move values: they are run on the narrow ones, which gives the same values.
MOVES = {
    getattr(torch.ops.aten, name).default
    for name in "t permute view _unsafe_view reshape alias detach expand unsqueeze".split()
} | {
    torch.ops.aten.transpose.int,
    torch.ops.aten.select.int,
    torch.ops.aten.slice.Tensor,
    torch.ops.aten.squeeze.dim,
    torch.ops.aten.split.Tensor,
    torch.ops.aten.split_with_sizes.default,
    torch.ops.aten.embedding.default,
}


class Wide(torch.Tensor):
    """A float64 tensor that keeps its values, which are float32, in float32."""

    narrow: torch.Tensor

    @staticmethod
    def __new__(cls, narrow: torch.Tensor) -> "Wide":
        made = torch.Tensor._make_wrapper_subclass(
            cls, narrow.shape, narrow.stride(), narrow.storage_offset(), dtype=torch.float64, device=narrow.device
        )
        made.narrow = narrow
        return made

    @classmethod
    def __torch_dispatch__(
        cls, func: Any, types: Any, args: tuple = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in MOVES and not any(_is_double(item) for item in pytree.tree_leaves((args, kwargs))):
            narrow = pytree.tree_map_only(Wide, lambda item: item.narrow, (args, kwargs))
            return pytree.tree_map_only(torch.Tensor, Wide, func(*narrow[0], **narrow[1]))
        if func._schema.is_mutable:
            raise RuntimeError(f"{func} would write into a weight that is kept in float32")
        wide = pytree.tree_map_only(Wide, lambda item: item.narrow.double(), (args, dict(kwargs)))
        return func(*wide[0], **wide[1])


def _is_double(item: Any) -> bool:
    return isinstance(item, torch.Tensor) and not isinstance(item, Wide) and item.dtype == torch.float64


def widened(module: nn.Module) -> nn.Module:
    """A copy of a module that computes in float64, with the weights of the original."""
    tensors = [*module.parameters(), *module.buffers()]
    return copy.deepcopy(module, {id(tensor): wide_weight(tensor, copied=True) for tensor in tensors})


def wide_weight(tensor: Any, copied: bool = False) -> Any:
    """A weight as float64 or complex128; one of float32 without a copy. Others as they are, or copied."""
    if not isinstance(tensor, torch.Tensor):
        return tensor
    if tensor.dtype == torch.float32:
        return Wide(tensor.detach())
    if tensor.dtype == torch.complex64:
        return tensor.detach().to(torch.complex128)
    return tensor.detach().clone() if copied else tensor.detach()


def materialized(value: Any) -> Any:
    """Every tensor of a tree as one with values of its own dtype."""
    return pytree.tree_map_only(Wide, lambda item: item.narrow.double(), value)


def widen(value: Any) -> Any:
    """float32 as float64 and complex64 as complex128, everything else as it is."""
    if isinstance(value, torch.Tensor):
        value = value.detach()
        kind = wide_dtype(value.dtype)
        return value.to(kind) if kind != value.dtype else value
    return [widen(part) for part in value] if isinstance(value, list | tuple) else value


def wide_dtype(item: Any) -> Any:
    """float64 for float32 and complex128 for complex64; anything else as it is."""
    return torch.float64 if item is torch.float32 else torch.complex128 if item is torch.complex64 else item
