"""Which composite ops torch may take apart: all that this project does not lower itself."""

from functools import cache
from typing import Any

import torch

from ..lowering.ops import table


def decompositions() -> Any:
    """torch's default decompositions minus every op of the table."""
    return _without(frozenset(op for op, lowering in table().items() if not lowering.why_not))


@cache
def _without(known: frozenset[str]) -> Any:
    full = torch.export.default_decompositions()
    for op in list(full.keys()):
        if str(op) in known:
            del full[op]
    return full
