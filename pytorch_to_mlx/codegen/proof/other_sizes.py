"""The same example at other sizes: every dynamic axis grown, so that a size that was written into the source shows."""

import copy
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import nn
from torch.utils import _pytree as pytree

from ..capture.export import Captured
from ..capture.watch import unchanged
from ..graph import Meta
from ..lowering.sizes import at
from .outputs import DOUBLE_FAILURES


def other_sizes(
    captured: Captured, module: nn.Module, args: tuple, kwargs: Mapping[str, Any], hints: Mapping[Any, int]
) -> Iterator[tuple[str, tuple, dict[str, Any]]]:
    """Examples with all dynamic sizes grown at once, or one by one where the original or the source refuses that.

    An axis is grown by repeating its values from the start, so ids and masks stay valid.
    """
    values = list(dict.fromkeys(hints.values()))  # sizes that are equal in the example stay equal
    grown = {symbol: size + 1 + values.index(size) for symbol, size in hints.items()}
    each = [{symbol: grown[symbol] for symbol in hints if hints[symbol] == size} for size in values]
    doubled = {symbol: 2 * size for symbol, size in hints.items()}  # for sizes that must divide
    attempts = [grown, doubled, *each] if hints else []
    for change in attempts:
        sizes = dict(hints) | change
        if not all(guard.holds(sizes) for guard in captured.guards):
            continue
        made = _resized(captured, args, kwargs, sizes)
        if made is None:
            continue
        try:
            with torch.no_grad(), unchanged(module):
                module(*copy.deepcopy(made[0]), **copy.deepcopy(made[1]))
        except DOUBLE_FAILURES:
            continue
        yield ", ".join(f"{symbol}={size}" for symbol, size in change.items()), *made
        if len(change) == len(hints):
            return


def _resized(
    captured: Captured, args: tuple, kwargs: Mapping[str, Any], sizes: Mapping[Any, int]
) -> tuple[tuple, dict[str, Any]] | None:
    flat, spec = pytree.tree_flatten((args, dict(kwargs)))
    nodes = iter(captured.graph.inputs())
    out = []
    for item in flat:
        if not isinstance(item, torch.Tensor):
            out.append(item)
            continue
        meta = next(nodes).meta
        assert isinstance(meta, Meta)
        for axis, size in enumerate(meta.shape):
            if isinstance(size, int):
                continue
            value = at(size, sizes)
            if not value.is_number:
                return None
            places = torch.arange(int(value)) % item.shape[axis]
            item = item.index_select(axis, places)
        out.append(item)
    return pytree.tree_unflatten(out, spec)
