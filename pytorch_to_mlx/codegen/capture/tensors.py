"""Between torch tensors, numpy and MLX, without a change of dtype."""

from typing import Any

import mlx.core as mx
import numpy as np
import torch
from torch.utils import _pytree as pytree

from ..graph import DTYPES, Unsupported

Module, Tensor = torch.nn.Module, torch.Tensor  # for rooms that import no torch


def dtype_name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def to_mlx(tensor: torch.Tensor) -> mx.array:
    """The same values and dtype as an MLX array.

    Raises: Unsupported for a dtype that MLX has not, and for sparse tensors.
    """
    name = dtype_name(tensor.dtype)
    if name not in DTYPES or tensor.layout != torch.strided:
        raise Unsupported(f"a tensor of dtype {name} and layout {tensor.layout} does not exist in MLX")
    tensor = tensor.detach().cpu().resolve_conj().resolve_neg().contiguous()
    if tensor.dtype == torch.bfloat16:
        return mx.array(tensor.view(torch.uint16).numpy()).view(mx.bfloat16)
    return mx.array(tensor.numpy(), dtype=DTYPES[name])


def place_of_values(tensor: torch.Tensor) -> tuple | None:
    """What tied tensors have in common: where their values lie. None if there are none."""
    if tensor.layout != torch.strided or not tensor.numel():
        return None
    return tensor.untyped_storage().data_ptr(), tensor.storage_offset(), tensor.shape, tensor.stride()


def to_numpy(value: Any) -> np.ndarray:
    """A torch tensor or an MLX array as numpy; bfloat16 becomes float32, exactly."""
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().resolve_conj().resolve_neg()
        return (value.float() if value.dtype == torch.bfloat16 else value).numpy()
    return np.array(value.astype(mx.float32) if value.dtype == mx.bfloat16 else value)


def flat_tensors(tree: Any) -> list[torch.Tensor]:
    return [item for item in pytree.tree_leaves(tree) if isinstance(item, Tensor)]
