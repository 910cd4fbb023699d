"""Sizes of one: torch.export answers what code asks of a size as it holds for two or more, and leaves no guard."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import sympy
from torch import nn

from ..capture.guards import Guard
from ..capture.input_sizes import short_names
from ..capture.methods import Entry, size_hints
from .compare import summary
from .float64 import MODULE_FAILURES
from .other_sizes import example_at
from .outputs import check_outputs

WHERE = "its result at 1 is another"


def wrong_at_one(
    entry: Entry, module: nn.Module, model: Any, reset: Callable[[], None], noise: Sequence[int] | None
) -> list[str]:
    """Return the user's names of the dynamic sizes that the original takes as one, and the model has wrong there.

    module: the original, with the entry's method as forward. reset, noise: as in `check_outputs`.
    """
    hints = size_hints(entry)

    def is_wrong(symbols: Sequence[Any]) -> bool:
        sizes = dict(hints) | dict.fromkeys(symbols, 1)
        example = example_at(entry.captured, module, entry.args, entry.kwargs, sizes)
        if example is None:
            return False
        try:
            return not summary(check_outputs(model, module, *example, entry.method, reset, noise))["ok"]
        except MODULE_FAILURES:
            return True

    wrong: list[Any] = []
    for size in dict.fromkeys(hints.values()):
        equal = [symbol for symbol in hints if hints[symbol] == size]  # what is equal in the example stays equal
        if is_wrong(equal):
            wrong += [symbol for symbol in equal if is_wrong([symbol])] or equal
    return _names(entry, wrong)


def refuse_ones(entry: Entry, sizes: Sequence[str]) -> None:
    """Let the source check that the named sizes are not one."""
    symbols = list(size_hints(entry))
    for symbol, name in zip(symbols, _names(entry, symbols), strict=True):
        if name in sizes:
            entry.captured.guards.append(Guard(sympy.Ge(symbol, 2), WHERE))


def refused_ones(entry: Entry) -> list[str]:
    """Return the names of the sizes that the source refuses as one."""
    return _names(entry, [guard.condition.lhs for guard in entry.captured.guards if guard.where == WHERE])


def _names(entry: Entry, symbols: Sequence[Any]) -> list[str]:
    names = short_names(entry.captured.graph.inputs())
    return [names.get(str(symbol), str(symbol)) for symbol in symbols]


def sizes_not_one(config: Mapping[str, Any], method: str) -> list[str]:
    """Return the names that a folder's config.json has of `refused_ones`; none where it is of another form."""
    for key in ("methods", method):
        config = config.get(key, {})
        if not isinstance(config, dict):
            return []
    names = config.get("not_one", [])
    return names if isinstance(names, list) else []
