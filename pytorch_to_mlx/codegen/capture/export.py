"""Export a torch module with dynamic sizes, and read the program as our graph with its weights."""

import inspect
from collections.abc import Callable, Collection
from typing import Any

import torch
from torch import nn
from torch.export import Dim, ExportedProgram
from torch.utils import _pytree as pytree

from .arguments import distinct_tensors, is_fixed, named_arguments
from .captured import Captured, read_program
from .decompose import decompose
from .failures import EXPORT_FAILURES, Failure, explain
from .patches import traceable
from .time_loops import capture_loops
from .transformers_export import is_transformers, register_caches, transformers_patches
from .trees import register_outputs, register_trees
from .value_questions import watch_questions
from .watch import watch_traced_arguments

PLAIN_NUMBERS = "torch.export, numbers that are computed from sizes as in the example"
Export = Callable[[nn.Module, tuple, dict[str, Any]], ExportedProgram]


def capture(module: nn.Module, args: tuple = (), kwargs: dict[str, Any] | None = None) -> Captured:
    """Export a module on example inputs. Every size of a tensor input that may vary stays dynamic.

    Give examples whose dynamic sizes are at least 2 and differ: torch.export fixes 0, 1 and equal ones.
    Raises: FormatError with the source line that cannot be exported, and the error of every attempt.
    """
    kwargs = kwargs or {}
    module.eval()
    register_trees((args, kwargs))
    attempts: list[tuple[str, Export]] = [("torch.export", _export)]
    if is_transformers(module):
        register_caches(module)
        attempts.append(("torch.export with the patches of transformers.exporters", _export_patched))
    else:
        attempts.append((PLAIN_NUMBERS, _export))
        attempts.append(("torch.export, only first axes dynamic", _export_first_axes))
    failures: list[Failure] = []
    for how, export in attempts:
        captured = _capture(module, args, kwargs, how, export, failures)
        if captured is None:
            continue

        def again(args: tuple, kwargs: dict[str, Any], how: str = how, export: Export = export) -> Captured | None:
            return _capture(module, args, kwargs, how, export, [])

        capture_loops(captured, module, args, kwargs, again)
        return captured
    raise explain(module, args, kwargs, failures) from failures[0].error


def _capture(
    module: nn.Module,
    args: tuple,
    kwargs: dict[str, Any],
    how: str,
    export: Export,
    failures: list[Failure],
    changing: Collection[str] = (),
) -> Captured | None:
    """Export a module in one way, and read the program; None where that fails, which is noted in `failures`.

    changing: buffers that the module changes, whose numbers are not read.
    """
    with (
        traceable(module, how != PLAIN_NUMBERS, changing) as names_read,
        watch_traced_arguments(module) as arguments,
        watch_questions() as questions,
        register_outputs(module),
    ):
        try:
            program = decompose(export(module, args, kwargs))
        except EXPORT_FAILURES as error:
            failures.append(Failure(how, error, questions.refused))
            return None
    changed = set(program.graph_signature.buffers_to_mutate.values())
    if names_read & changed:  # the next call reads another number
        return _capture(module, args, kwargs, how, export, failures, changed)
    captured = read_program(program)
    captured.how, captured.traced_arguments = how, arguments
    captured.dropped = list(questions.dropped)
    arguments_by_name = named_arguments(module.forward, args, kwargs)
    captured.fixed_values = {name: value for name, value in arguments_by_name if is_fixed(value)}
    return captured


def _export(module: nn.Module, args: tuple, kwargs: dict[str, Any], n_axes: int | None = None) -> ExportedProgram:
    """Export with every axis, or the first n_axes, of every tensor dynamic."""
    args, kwargs = distinct_tensors((args, kwargs))
    bound = inspect.signature(module.forward).bind(*args, **kwargs)
    shapes = {name: _dynamic_axes(value, n_axes) for name, value in bound.arguments.items()}
    with torch.no_grad():
        return torch.export.export(module, args, kwargs, dynamic_shapes=shapes, strict=False)


def _export_patched(module: nn.Module, args: tuple, kwargs: dict[str, Any]) -> ExportedProgram:
    """Export with transformers' own replacements of what cannot be exported."""
    with transformers_patches(module, kwargs):
        return _export(module, args, kwargs)


def _export_first_axes(module: nn.Module, args: tuple, kwargs: dict[str, Any]) -> ExportedProgram:
    """Export with all but the first size of every tensor as in the example, for sizes torch cannot reason about."""
    return _export(module, args, kwargs, n_axes=1)


def _dynamic_axes(tree: Any, n_axes: int | None) -> Any:
    """Return Dim.AUTO for every axis (or the first n_axes) of every tensor of a pytree, None for everything else."""

    def axes(item: Any) -> Any:
        return dict.fromkeys(range(item.ndim)[:n_axes], Dim.AUTO) if isinstance(item, torch.Tensor) else None

    return pytree.tree_map(axes, tree)
