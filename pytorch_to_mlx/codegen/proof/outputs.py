"""Compare generated source with the PyTorch original: outputs on any inputs, in float32 against float64."""

import ast
import copy
import importlib.machinery
import importlib.util
import itertools
import sys
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

import mlx.core as mx
import numpy as np
import torch
from torch import nn
from torch.utils import _pytree as pytree

from ..capture.noise import HandOut
from ..capture.tensors import flat_tensors, to_mlx, to_numpy
from ..capture.watch import seeded, unchanged
from ..emit.signature import model_arguments
from .compare import NOT_COMPARED, Agreement, agree, tolerance_of
from .float64 import MODULE_FAILURES, WideCasts, float64_module, separate_module, to_dense, to_float64, wide_default
from .near_ties import judge_near_ties

_COUNTER = itertools.count()


class _TextLoader(importlib.machinery.SourceFileLoader):
    """Compile a file's text, whatever bytecode there is of it."""

    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(self.get_data(self.path), self.path)


def import_source(path: Path) -> ModuleType:
    """Import a generated `model.py` under a name of its own, so that two of them do not collide.

    Bytecode that lies beside it, and may be other code, is not looked at.
    """
    name = f"pytorch_to_mlx_generated_{next(_COUNTER)}"
    spec = importlib.util.spec_from_file_location(name, path, loader=_TextLoader(name, str(path)))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    finally:
        del sys.modules[name]
    return module


def code(source: str | Path) -> str | None:
    """Return what Python code does, whatever its layout, comments and docstrings; None if it is not Python code."""
    try:
        tree = ast.parse(source.read_bytes() if isinstance(source, Path) else source)
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
                del node.body[0]
        return ast.dump(tree)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def flat_arrays(tree: Any) -> list[mx.array]:
    """Return the arrays of nested tuples, lists and dicts, in order; numbers as arrays without axes."""
    if isinstance(tree, mx.array):
        return [tree]
    if isinstance(tree, int | float):
        is_whole = isinstance(tree, int) and not isinstance(tree, bool)
        return [mx.array(tree, dtype=mx.int64) if is_whole else mx.array(tree)]
    parts: Iterable[Any] = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list | tuple) else ()
    return [array for part in parts for array in flat_arrays(part)]


def flat_results(tree: Any) -> list[torch.Tensor]:
    """Return the tensors of a result, in order; numbers as tensors without axes."""
    leaves = [item for item in pytree.tree_leaves(tree) if isinstance(item, torch.Tensor | int | float)]
    return [item if isinstance(item, torch.Tensor) else torch.tensor(item) for item in leaves]


@dataclass
class Reference:
    """What PyTorch computes: flat outputs in float32, and in float64 if the module can run in it.

    noise: what was drawn in the run and handed out again in float64. is_random: other numbers were drawn as well.
    """

    float32: list[torch.Tensor]
    float64: list[torch.Tensor] | None
    noise: list[torch.Tensor]
    is_random: bool


def reference_outputs(
    module: nn.Module, args: tuple, kwargs: Mapping[str, Any]
) -> tuple[list[torch.Tensor], list[torch.Tensor] | None]:
    """Return the module's flat outputs in float32, and in float64 if it can run in it. Its buffers stay as they are."""
    reference = run_reference(module, args, kwargs)
    return reference.float32, reference.float64


def run_reference(module: nn.Module, args: tuple, kwargs: Mapping[str, Any]) -> Reference:
    """Run the module in float32, and in float64 if it can run in it. Its buffers stay as they are."""
    with torch.no_grad(), warnings.catch_warnings(), seeded():
        warnings.simplefilter("ignore")  # the module's own
        with unchanged(module), HandOut() as drawn:
            before = torch.get_rng_state()
            result = flat_results(module(*copy.deepcopy(args), **copy.deepcopy(dict(kwargs))))
            float32 = [tensor.clone() for tensor in result]
            is_random = not torch.equal(before, torch.get_rng_state())
        noise = drawn.used
        float64 = _float64_outputs(float64_module, module, args, kwargs, noise)
        if float64 is None:  # it writes into its own buffers or reads them in a way that a view does not offer
            float64 = _float64_outputs(separate_module, module, args, kwargs, noise)
    same_shapes = float64 is not None and [t.shape for t in float64] == [t.shape for t in float32]
    return Reference(float32, float64 if same_shapes else None, noise, is_random)


def _float64_outputs(
    copy_module: Callable[[nn.Module], nn.Module],
    module: nn.Module,
    args: tuple,
    kwargs: Mapping[str, Any],
    noise: Sequence[torch.Tensor],
) -> list[torch.Tensor] | None:
    """Return the outputs of a float64 copy of the module; None if it cannot run."""
    args, kwargs = to_float64((args, dict(kwargs)))
    try:
        wide = copy_module(module)  # outside WideCasts, which would look through deepcopy's memo at every tensor
        with wide_default(), WideCasts(), HandOut(noise):
            return flat_results(to_dense(wide(*args, **kwargs)))
    except MODULE_FAILURES:
        return None


def check_outputs(
    model: Any,
    module: nn.Module,
    args: tuple,
    kwargs: Mapping[str, Any],
    method: str = "__call__",
    reset: Callable[[], None] | None = None,
    noise: Sequence[int] | None = None,
) -> list[Agreement]:
    """Compare every output array of the generated model with the original's, on the same inputs.

    reset: restores the state that a call of the model changes, after the check; by default its parameters as they
    are now. noise: which of PyTorch's draws the model takes after its inputs, from 0; None if it draws itself, and then
    nothing is compared of a module that draws.
    """
    reference = run_reference(module, args, kwargs)
    float32, float64 = reference.float32, reference.float64
    if reference.is_random or (noise is None and reference.noise):
        return [NOT_COMPARED]
    if noise and max(noise) >= len(reference.noise):
        return [Agreement(False, np.inf, 0, 0, f"{max(noise) + 1} draws, PyTorch makes {len(reference.noise)}")]
    draws = [to_mlx(reference.noise[place]) for place in noise or ()]
    reset = reset or partial(model.update, model.parameters())
    ours = flat_arrays(
        getattr(model, method)(*pytree.tree_map_only(torch.Tensor, to_mlx, model_arguments(args, kwargs)), *draws)
    )
    reset()
    if len(ours) != len(float32):
        return [Agreement(False, np.inf, 0, 0, f"{len(ours)} outputs, PyTorch gives {len(float32)}")]
    tolerance = tolerance_of(*module.parameters(), *flat_tensors((args, dict(kwargs))))
    arbiters = [None] * len(float32) if float64 is None else [to_numpy(tensor) for tensor in float64]
    arrays = [to_numpy(output) for output in ours]
    agreements = [
        agree(array, to_numpy(output), arbiter, tolerance)
        for array, output, arbiter in zip(arrays, float32, arbiters, strict=True)
    ]
    if draws:
        return agreements
    return judge_near_ties(agreements, arrays, partial(run_reference, module), args, kwargs, tolerance)
