"""One op at one shape: a row of `benchmark ops`."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Arrays = list[np.ndarray]


@dataclass(frozen=True)
class Row:
    """One op at one shape. `ours` takes a module of ops and MLX arrays; `torch` takes torch and its tensors.

    to_torch: the same arrays as PyTorch lays them out. flops and bytes: what the op must at least do and move.
    """

    name: str
    arrays: Callable[[], Arrays]
    ours: Callable[..., Any]
    torch: Callable[..., Any]
    flops: float = 0
    bytes: float = 0
    to_torch: Callable[[Arrays], Arrays] = lambda arrays: arrays
