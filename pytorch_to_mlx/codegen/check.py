"""Compare generated source with the PyTorch original: outputs on any inputs, in float32 against float64."""

import copy
import importlib.util
import itertools
import sys
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import torch
from torch import nn
from torch.utils import _pytree as pytree

from .compare import Agreement, agree
from .tensors import to_mlx, to_numpy

_COUNTER = itertools.count()
# What a model that was not made for float64 raises when it is run in it.
DOUBLE_FAILURES = (RuntimeError, TypeError, ValueError, NotImplementedError, AttributeError, LookupError)


def import_source(path: Path) -> Any:
    """A generated `model.py` as a module of its own."""
    name = f"pytorch_to_mlx_generated_{next(_COUNTER)}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    finally:
        del sys.modules[name]
    return module


def flat_tensors(tree: Any) -> list[torch.Tensor]:
    return [item for item in pytree.tree_leaves(tree) if isinstance(item, torch.Tensor)]


def flat_arrays(tree: Any) -> list[mx.array]:
    """The arrays of nested tuples, lists and dicts, in order."""
    if isinstance(tree, mx.array):
        return [tree]
    parts: Iterable[Any] = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list | tuple) else ()
    return [array for part in parts for array in flat_arrays(part)]


def reference_outputs(module: nn.Module, args: tuple, kwargs: Mapping[str, Any]) -> tuple[list, list | None]:
    """The module's flat outputs in float32, and in float64 if it can run in it."""
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the module's own
        plain = flat_tensors(module(*copy.deepcopy(args), **copy.deepcopy(dict(kwargs))))
        try:
            wide_args, wide_kwargs = pytree.tree_map(_double, (args, dict(kwargs)))
            wide = flat_tensors(copy.deepcopy(module).double()(*wide_args, **wide_kwargs))
        except DOUBLE_FAILURES:
            return plain, None
    return plain, wide if [t.shape for t in wide] == [t.shape for t in plain] else None


def _double(item: Any) -> Any:
    return item.double() if isinstance(item, torch.Tensor) and item.dtype == torch.float32 else item


def check_outputs(
    model: Any, module: nn.Module, args: tuple, kwargs: Mapping[str, Any], wide: list[torch.Tensor] | None = None
) -> list[Agreement]:
    """Agreement of every output array of the generated model with the original, on the same inputs."""
    plain, exact = reference_outputs(module, args, kwargs)
    exact = exact or wide
    ours = flat_arrays(model(*[to_mlx(tensor) for tensor in flat_tensors((args, dict(kwargs)))]))
    if len(ours) != len(plain):
        return [Agreement(False, np.inf, 0, 0, f"{len(ours)} outputs instead of {len(plain)}")]
    found = []
    for place, (got, want) in enumerate(zip(ours, plain, strict=True)):
        truth = to_numpy(exact[place]) if exact is not None and exact[place].dtype.is_floating_point else None
        found.append(agree(to_numpy(got), to_numpy(want), truth))
    return found
