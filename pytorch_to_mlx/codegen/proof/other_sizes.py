"""Re-run an example at larger sizes, and with other values, to catch what was written into the source as numbers."""

import copy
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import nn
from torch.utils import _pytree as pytree

from ..capture.captured import Captured
from ..capture.input_sizes import short_names
from ..capture.watch import unchanged
from ..graph import Meta
from ..lowering.sizes import Hints, substitute_sizes
from .float64 import MODULE_FAILURES


def other_sizes(
    captured: Captured, module: nn.Module, args: tuple, kwargs: Mapping[str, Any], hints: Mapping[Any, int]
) -> Iterator[tuple[dict[str, int], tuple, dict[str, Any]]]:
    """Yield examples with all dynamic sizes grown at once, or one by one where the original or the source refuses that.

    Each is (the changed sizes by the user's names, args, kwargs).
    """
    names = short_names(captured.graph.inputs())
    values = list(dict.fromkeys(hints.values()))  # sizes that are equal in the example stay equal
    grown = {symbol: size + 1 + values.index(size) for symbol, size in hints.items()}
    doubled = {symbol: 2 * size for symbol, size in hints.items()}  # for sizes that must divide
    together = [[grown], [doubled]] if captured.unrolled else [[grown, doubled]]  # a capture does not see far rounds
    alone = [[{s: all_[s] for s in hints if hints[s] == size} for all_ in (grown, doubled)] for size in values]
    n_whole = 0
    for group in (together, alone) if hints else ():
        for changes in group if not n_whole or group is together else ():
            for change in changes:
                example = example_at(captured, module, args, kwargs, dict(hints) | change)
                if example is not None:
                    yield {names.get(str(symbol), str(symbol)): size for symbol, size in change.items()}, *example
                    n_whole += group is together
                    break


def example_at(
    captured: Captured, module: nn.Module, args: tuple, kwargs: Mapping[str, Any], sizes: Mapping[Any, int]
) -> tuple[tuple, dict[str, Any]] | None:
    """Return the example at other sizes; None if the original or the source refuses them."""
    if not all(guard.holds(sizes) for guard in captured.guards):
        return None
    example = _resize(captured, args, kwargs, sizes)
    return example if example is not None and _runs(module, example) else None


def other_values(
    module: nn.Module, args: tuple, kwargs: Mapping[str, Any], hints: Mapping[Any, int]
) -> Iterator[tuple[tuple, dict[str, Any]]]:
    """Yield the example with the values of every tensor in reverse order, for sizes that depend on data.

    Nothing is yielded where the original refuses these, or has no such sizes.
    """
    if not (isinstance(hints, Hints) and hints.data):
        return
    example = pytree.tree_map_only(torch.Tensor, lambda x: x.flip(tuple(range(x.ndim))), (args, dict(kwargs)))
    if _runs(module, example):
        yield example


def _runs(module: nn.Module, example: tuple[tuple, dict[str, Any]]) -> bool:
    """Tell whether the original takes an example."""
    try:
        with torch.no_grad(), unchanged(module), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of sizes that the user did not ask for
            module(*copy.deepcopy(example[0]), **copy.deepcopy(example[1]))
    except MODULE_FAILURES:
        return False
    return True


def _resize(
    captured: Captured, args: tuple, kwargs: Mapping[str, Any], sizes: Mapping[Any, int]
) -> tuple[tuple, dict[str, Any]] | None:
    """Return the example with other sizes; None if a shape depends on sizes that are not known."""
    generator = torch.Generator().manual_seed(0)
    flat, spec = pytree.tree_flatten((args, dict(kwargs)))
    nodes = iter(captured.graph.inputs())
    resized = []
    for item in flat:
        if isinstance(item, torch.Tensor):
            meta = next(nodes).meta
            assert isinstance(meta, Meta)
            for axis, size in enumerate(meta.shape):
                if isinstance(size, int):
                    continue
                value = substitute_sizes(size, sizes)
                if not value.is_number:
                    return None
                item = _grow(item, axis, int(value), generator)
        resized.append(item)
    return pytree.tree_unflatten(resized, spec)


def _grow(item: torch.Tensor, axis: int, size: int, generator: torch.Generator) -> torch.Tensor:
    """Return a tensor with another length on an axis; its first values stay, as far as they go.

    Real numbers that all differ get new ones between those that are there, so that no two are equal: torch leaves open
    in what order topk, sort and argmax name equal ones. Other values are repeated from the start, so that ids and masks
    stay valid; offsets and lengths in order stay in order.
    """
    longer = item.index_select(axis, torch.arange(size) % item.shape[axis])
    n_new = size - item.shape[axis]
    if item.is_floating_point() and n_new > 0 and item.unique().numel() > item.numel() // 2 and item.isfinite().all():
        new = longer.narrow(axis, item.shape[axis], n_new).double()
        other = item.index_select(axis, (torch.arange(n_new) + 1) % item.shape[axis]).double()
        share = 0.2 + 0.6 * torch.rand(new.shape, generator=generator, dtype=torch.float64)
        longer.narrow(axis, item.shape[axis], n_new).copy_(new + share * (other - new))
    elif item.ndim == 1 and not item.is_floating_point() and item.dtype != torch.bool and item.shape[0] > 1:
        steps = item.diff()
        if steps.any() and ((steps >= 0).all() or (steps <= 0).all()):
            longer = longer.sort(descending=bool((steps <= 0).all())).values
    return longer
