"""What the flow is given beside the tokens: the prompt's mel, the noise to start from, and the solver."""

import mlx.core as mx

from ....errors import UsageError
from ....generate.flow import EVALUATIONS

SOLVERS = (*EVALUATIONS, "rk45")


def slice_prompt(prompt_mel: mx.array, start: int, end: int) -> mx.array:
    """Return frames start … end of the prompt's mel, zeros after its end. Shapes: -> [1, end - start, n_mels]."""
    part = prompt_mel[:, start:end]
    return mx.pad(part, [(0, 0), (0, end - start - part.shape[1]), (0, 0)])


def slice_noise(noise: mx.array, start: int, end: int) -> mx.array:
    """Return frames start … end of the noise. Shapes: -> [1, end - start, n_mels].

    Raises: UsageError if there are not so many.
    """
    if end > noise.shape[1]:
        raise UsageError(
            f"{end} frames of mel are more than the {noise.shape[1]} that there is noise for",
            fix="split the text, or use a shorter prompt",
        )
    return noise[:, start:end]


def unit_length(embedding: mx.array) -> mx.array:
    """Scale a speaker's embedding to length 1; one of zeros stays. Shapes: [1, D] -> [1, D]."""
    norm = mx.sqrt(mx.sum(mx.square(embedding), axis=-1, keepdims=True))
    return embedding / mx.maximum(norm, 1e-12)


def check_solver(solver: str, steps: int) -> None:
    """Raises: UsageError for an unknown solver, or fewer steps than one."""
    if solver not in SOLVERS:
        raise UsageError(f"unknown solver {solver!r}", fix=f"use {', '.join(SOLVERS)}")
    if steps < 1:
        raise UsageError(f"{steps} steps; there must be at least 1")
