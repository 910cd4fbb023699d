"""What the flow starts from and is led by: the prompt's mel, the noise, the solver."""

import mlx.core as mx

from ....errors import UsageError
from ....generate.flow import EVALUATIONS

SOLVERS = (*EVALUATIONS, "rk45")


def prompt_at(prompt_mel: mx.array, start: int, end: int) -> mx.array:
    """Frames start … end of the prompt's mel, with zeros after its end. Shapes: -> [1, end - start, n_mels]."""
    part = prompt_mel[:, start:end]
    return mx.pad(part, [(0, 0), (0, end - start - part.shape[1]), (0, 0)])


def noise_at(noise: mx.array, start: int, end: int) -> mx.array:
    """Raises: UsageError if the noise ends before."""
    if end > noise.shape[1]:
        raise UsageError(
            f"{end} frames of mel are more than the {noise.shape[1]} that there is noise for",
            fix="split the text, or use a shorter prompt",
        )
    return noise[:, start:end]


def check_solver(solver: str, steps: int) -> None:
    """Raises: UsageError."""
    if solver not in SOLVERS:
        raise UsageError(f"unknown solver {solver!r}", fix=f"use {', '.join(SOLVERS)}")
    if steps < 1:
        raise UsageError(f"{steps} steps; there must be at least 1")
