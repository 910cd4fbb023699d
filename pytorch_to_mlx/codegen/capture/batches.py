"""Batches of one: torch.export takes a size of 1 for a number, so a module is traced on the example twice over."""

import copy
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.utils import _pytree as pytree

from ...errors import FormatError
from ..lowering.sizes import substitute_sizes
from .captured import Captured
from .export import capture
from .failures import EXPORT_FAILURES
from .tensors import flat_tensors
from .trees import register_trees
from .watch import Values, seeded, unchanged

Example = tuple[tuple, dict[str, Any]]


def capture_batches(module: nn.Module, args: tuple, kwargs: Mapping[str, Any]) -> tuple[Captured, Example | None]:
    """Capture a module on an example; return with it the example of twice the batch, if it was captured on that.

    It is where the batch of the user's example is one, the module runs on twice that, and the capture holds for one.
    """
    twice = _twice(module, args, dict(kwargs))
    if twice is not None:
        try:
            captured = capture(module, *twice)
        except FormatError:
            captured = None
        if captured is not None and _holds(captured, module, args, kwargs):
            return captured, twice
    return capture(module, args, dict(kwargs)), None


def _twice(module: nn.Module, args: tuple, kwargs: dict[str, Any]) -> Example | None:
    """Return the example with each tensor twice, one after the other; None unless all are batches of one."""
    register_trees((args, kwargs))
    tensors = flat_tensors((args, kwargs))
    if not tensors or not all(tensor.ndim and tensor.shape[0] == 1 for tensor in tensors):
        return None
    twice = pytree.tree_map_only(torch.Tensor, lambda x: torch.cat([x, x]), (args, kwargs))
    example = copy.deepcopy(twice)
    try:
        with torch.no_grad(), unchanged(module), seeded():
            module(*example[0], **example[1])
    except EXPORT_FAILURES:
        return None
    return twice


def _holds(captured: Captured, module: nn.Module, args: tuple, kwargs: Mapping[str, Any]) -> bool:
    """Tell whether a capture takes an example, and gives what the module does.

    torch answers `x.shape[0] == 1` for sizes that are larger, and leaves no guard.
    """
    sizes = sizes_in(captured, args, kwargs)
    if sizes is None or not all(guard.holds(sizes) for guard in captured.guards):
        return False
    results = [str(name) for name in captured.program.graph_signature.user_outputs]
    values = Values(captured.program, set(results))
    flat = pytree.tree_leaves(copy.deepcopy((args, dict(kwargs))))
    with torch.no_grad(), unchanged(module), seeded():
        right = flat_tensors(module(*copy.deepcopy(args), **copy.deepcopy(dict(kwargs))))
    try:
        computed = flat_tensors([values.compute(flat).get(name) for name in results])
    except EXPORT_FAILURES:
        return False
    draws = bool(values.draws or values.random)
    return len(computed) == len(right) and all(map(partial(_same, draws), computed, right))


def _same(draws: bool, x: torch.Tensor, y: torch.Tensor) -> bool:
    kind = torch.complex128 if x.is_complex() else torch.float64
    close = draws or (x.shape == y.shape and torch.allclose(x.to(kind), y.to(kind), 1e-3, 1e-4, equal_nan=True))
    return x.shape == y.shape and close


def sizes_in(captured: Captured, args: tuple, kwargs: Mapping[str, Any]) -> dict[Any, int] | None:
    """Return the dynamic sizes of an example; None if it differs from the captured one in others as well."""
    pairs = [
        (size, actual)
        for node, tensor in zip(captured.graph.inputs(), flat_tensors((args, dict(kwargs))), strict=True)
        for size, actual in zip(node.meta.shape, tensor.shape, strict=True)
    ]
    sizes = {size: actual for size, actual in pairs if not isinstance(size, int) and size.is_Symbol}
    fit = all((size if isinstance(size, int) else substitute_sizes(size, sizes)) == actual for size, actual in pairs)
    return sizes if fit else None
