"""Re-run an example at larger dynamic sizes, to catch those that were written into the source as numbers."""

import copy
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import nn
from torch.utils import _pytree as pytree

from ..capture.captured import Captured
from ..capture.input_sizes import short_names
from ..capture.watch import unchanged
from ..graph import Meta
from ..lowering.sizes import substitute_sizes
from .float64 import MODULE_FAILURES


def other_sizes(
    captured: Captured, module: nn.Module, args: tuple, kwargs: Mapping[str, Any], hints: Mapping[Any, int]
) -> Iterator[tuple[str, tuple, dict[str, Any]]]:
    """Yield examples with all dynamic sizes grown at once, or one by one where the original or the source refuses that.

    Each is (sizes in words, args, kwargs). An axis is grown by repeating its values from the start, so ids and masks
    stay valid.
    """
    names = short_names(captured.graph.inputs())
    values = list(dict.fromkeys(hints.values()))  # sizes that are equal in the example stay equal
    grown = {symbol: size + 1 + values.index(size) for symbol, size in hints.items()}
    doubled = {symbol: 2 * size for symbol, size in hints.items()}  # for sizes that must divide
    one_by_one = [{symbol: grown[symbol] for symbol in hints if hints[symbol] == size} for size in values]
    for change in [grown, doubled, *one_by_one] if hints else []:
        sizes = dict(hints) | change
        if not all(guard.holds(sizes) for guard in captured.guards):
            continue
        example = _resize(captured, args, kwargs, sizes)
        if example is None:
            continue
        try:
            with torch.no_grad(), unchanged(module):
                module(*copy.deepcopy(example[0]), **copy.deepcopy(example[1]))
        except MODULE_FAILURES:
            continue
        yield ", ".join(f"{names.get(str(symbol), symbol)}={size}" for symbol, size in change.items()), *example
        if len(change) == len(hints):
            return


def _resize(
    captured: Captured, args: tuple, kwargs: Mapping[str, Any], sizes: Mapping[Any, int]
) -> tuple[tuple, dict[str, Any]] | None:
    """Return the example with other sizes; None if a shape depends on sizes that are not known."""
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
                item = item.index_select(axis, torch.arange(int(value)) % item.shape[axis])
        resized.append(item)
    return pytree.tree_unflatten(resized, spec)
