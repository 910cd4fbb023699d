"""Convert torch tensors to MLX and numpy without a change of values, and find out where they lie."""

from typing import Any

import mlx.core as mx
import numpy as np
import torch
from torch.export import ExportedProgram
from torch.export.graph_signature import InputSpec
from torch.utils import _pytree as pytree

from ..graph import DTYPES, Unsupported

Module = torch.nn.Module  # for rooms that import no torch
Tensor = torch.Tensor


def dtype_name(dtype: torch.dtype) -> str:
    """Return a dtype's name without its package, "float32"."""
    return str(dtype).removeprefix("torch.")


def to_mlx(tensor: torch.Tensor) -> mx.array:
    """Return the same values and dtype as an MLX array.

    Shapes: those of the tensor.
    Raises: Unsupported for a dtype that MLX lacks, and for sparse tensors.
    """
    name = dtype_name(tensor.dtype)
    if name not in DTYPES or tensor.layout != torch.strided:
        raise Unsupported(f"a tensor of dtype {name} and layout {tensor.layout} does not exist in MLX")
    tensor = tensor.detach().cpu().resolve_conj().resolve_neg().contiguous()
    if tensor.dtype == torch.bfloat16:
        return mx.array(tensor.view(torch.uint16).numpy()).view(mx.bfloat16)
    return mx.array(tensor.numpy(), dtype=DTYPES[name])


def place_of_values(tensor: torch.Tensor) -> tuple | None:
    """Return what tied tensors have in common, the place of their values in memory; None if there are no values."""
    if tensor.layout != torch.strided or not tensor.numel():
        return None
    return tensor.untyped_storage().data_ptr(), tensor.storage_offset(), tensor.shape, tensor.stride()


def program_tensor(program: ExportedProgram, spec: InputSpec) -> torch.Tensor:
    """Return the parameter, buffer or constant that an exported program reads as one of its inputs."""
    home: Any = program.state_dict if spec.target in program.state_dict else program.constants
    return home[spec.target]


def to_numpy(value: Any) -> np.ndarray:
    """Return a torch tensor or an MLX array as numpy; bfloat16 becomes float32, which holds the same values.

    Shapes: those of the value.
    """
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().resolve_conj().resolve_neg()
        return (value.float() if value.dtype == torch.bfloat16 else value).numpy()
    return np.array(value.astype(mx.float32) if value.dtype == mx.bfloat16 else value)


def flat_tensors(tree: Any) -> list[torch.Tensor]:
    """Return the tensors of a pytree, in order."""
    return [item for item in pytree.tree_leaves(tree) if isinstance(item, Tensor)]
