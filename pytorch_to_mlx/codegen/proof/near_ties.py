"""What rounding decides in a module: where PyTorch itself answers otherwise when its inputs move by a few roundings.

A value that almost meets a threshold, or two almost equal scores in a top-k: whole values or rows of the outputs
differ although every number before them is right.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch.utils import _pytree as pytree

from ..capture.tensors import to_numpy
from .compare import Agreement, agree
from .float64 import MODULE_FAILURES

N_RUNS = 6
STEP = 2.0**-21  # by which inputs move, relative: 4 roundings of float32
COARSE = 2.0**8  # multiples of 1 / COARSE do not move: written by hand, they may meet a threshold on purpose


def judge_near_ties(
    agreements: Sequence[Agreement],
    ours: Sequence[np.ndarray],
    run: Callable[[tuple, Mapping[str, Any]], Any],
    args: tuple,
    kwargs: Mapping[str, Any],
    tolerance: str,
) -> list[Agreement]:
    """Accept outputs that PyTorch gives too when its inputs move by a few roundings, and mark them as `near_tie`.

    Whole numbers and booleans must each be what one of its runs gives; floating outputs must agree with one run.
    run: PyTorch's float32 and float64 outputs (a Reference) for args and kwargs.
    """
    failures = [one for one in agreements if not one.ok]
    if not failures or any(not np.isfinite(one.error) for one in failures):
        return list(agreements)
    runs = []
    for seed in range(N_RUNS):
        try:
            runs.append(run(*_moved(args, kwargs, seed)))
        except MODULE_FAILURES:  # it looks at its inputs, and takes none other than these
            return list(agreements)
    return [
        one if one.ok else _judge(one, output, [_arrays(reference, place) for reference in runs], tolerance)
        for place, (one, output) in enumerate(zip(agreements, ours, strict=True))
    ]


def _judge(one: Agreement, ours: np.ndarray, runs: list[list[np.ndarray]], tolerance: str) -> Agreement:
    if ours.dtype.kind in "biu":
        known = np.zeros(ours.shape, bool)
        for arrays in runs:
            for array in arrays:
                known |= array == ours if array.shape == ours.shape else False
        return replace(one, ok=True, why="", near_tie=True) if known.all() else one
    for arrays in runs:
        moved = agree(ours, arrays[0], arrays[1] if len(arrays) > 1 else None, tolerance)
        if moved.ok:
            return replace(moved, near_tie=True)
    return one


def _arrays(reference: Any, place: int) -> list[np.ndarray]:
    """Return an output in float32, and in float64 if there is one."""
    both = (reference.float32, reference.float64)
    return [to_numpy(outputs[place]) for outputs in both if outputs is not None and place < len(outputs)]


def _moved(args: tuple, kwargs: Mapping[str, Any], seed: int) -> tuple[tuple, dict[str, Any]]:
    """Return the inputs with every floating number moved by up to STEP of itself."""
    generator = torch.Generator().manual_seed(seed)

    def move(x: torch.Tensor) -> torch.Tensor:
        if not x.is_floating_point() or torch.finfo(x.dtype).eps > STEP:  # 16-bit numbers cannot move by so little
            return x.clone()
        step = STEP * (2 * torch.rand(x.shape, generator=generator, dtype=torch.float64) - 1)
        is_coarse = (x * COARSE).round() == x * COARSE
        return torch.where(is_coarse, x, (x.double() * (1 + step)).to(x.dtype))

    return pytree.tree_map_only(torch.Tensor, move, (args, dict(kwargs)))
