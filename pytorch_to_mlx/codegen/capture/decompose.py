"""Choose which composite ops torch decomposes: all that this project does not lower itself."""

from functools import cache
from typing import Any

import torch

from ..lowering.ops import table


def decompositions() -> Any:
    """Return torch's default decompositions without those of the ops that have a lowering."""
    return _without(frozenset(op for op, lowering in table().items() if not lowering.why_not))


@cache
def _without(lowered: frozenset[str]) -> Any:
    by_op = torch.export.default_decompositions()
    for op in list(by_op.keys()):
        if str(op) in lowered:
            del by_op[op]
    return by_op
