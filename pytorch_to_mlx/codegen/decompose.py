"""Which composite ops torch may take apart: all that this project does not lower itself."""

from functools import cache
from typing import Any

import torch

from .ops import table


@cache
def decompositions() -> Any:
    """torch's default decompositions minus every op of the table."""
    known = table()
    full = torch.export.default_decompositions()
    for op in list(full.keys()):
        if str(op) in known and not known[str(op)].why_not:
            del full[op]
    return full
