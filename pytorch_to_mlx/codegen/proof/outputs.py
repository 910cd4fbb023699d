"""Compare generated source with the PyTorch original: outputs on any inputs, in float32 against float64."""

import copy
import importlib.util
import itertools
import sys
import warnings
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import torch
from torch import nn
from torch.utils import _pytree as pytree

from ..capture.tensors import flat_tensors, to_mlx, to_numpy
from ..capture.watch import unchanged
from ..emit.signature import given_values
from .compare import Agreement, agree
from .float64 import materialized, widened

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
        with unchanged(module):
            result = flat_tensors(module(*copy.deepcopy(args), **copy.deepcopy(dict(kwargs))))
            plain = [tensor.clone() for tensor in result]
        wide = _wide_outputs(widened, module, args, kwargs)
        if wide is None:
            wide = _wide_outputs(lambda original: copy.deepcopy(original).double(), module, args, kwargs)
    return plain, wide if wide and [t.shape for t in wide] == [t.shape for t in plain] else None


def _wide_outputs(copied: Callable, module: nn.Module, args: tuple, kwargs: Mapping[str, Any]) -> list | None:
    """The outputs of a float64 copy of the module; None if it cannot run."""
    wide_args, wide_kwargs = pytree.tree_map(_double, (args, dict(kwargs)))
    try:
        return flat_tensors(materialized(copied(module)(*wide_args, **wide_kwargs)))
    except DOUBLE_FAILURES:
        return None


def _double(item: Any) -> Any:
    return item.double() if isinstance(item, torch.Tensor) and item.dtype == torch.float32 else item


def check_outputs(
    model: Any,
    module: nn.Module,
    args: tuple,
    kwargs: Mapping[str, Any],
    method: str = "__call__",
    reset: Callable[[], None] | None = None,
) -> list[Agreement]:
    """Agreement of every output array of the generated model with the original, on the same inputs.

    A model that changes its state starts each check from the same one. reset: what gives it that state.
    """
    plain, exact = reference_outputs(module, args, kwargs)
    reset = reset or partial(model.update, model.parameters())
    ours = flat_arrays(getattr(model, method)(*pytree.tree_map(to_mlx, given_values(args, kwargs))))
    reset()
    if len(ours) != len(plain):
        return [Agreement(False, np.inf, 0, 0, f"{len(ours)} outputs instead of {len(plain)}")]
    found = []
    for place, (got, want) in enumerate(zip(ours, plain, strict=True)):
        truth = to_numpy(exact[place]) if exact is not None and exact[place].dtype.is_floating_point else None
        found.append(agree(to_numpy(got), to_numpy(want), truth))
    return found
