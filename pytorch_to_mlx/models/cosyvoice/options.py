"""How to speak: the options that every mode shares, checked."""

from dataclasses import dataclass

from ...errors import UsageError
from .flow.conditioning import SOLVERS
from .lm.decoding import MAX_RATIO, MIN_RATIO

MIN_SPEED, MAX_SPEED = 0.25, 4.0


@dataclass(frozen=True)
class Options:
    """How to speak; the same for every mode.

    stream: yield audio as soon as there is some. speed: of the whole, not for streams. text_frontend: write numbers and
    the like out, and split long texts. temperature, top_k, top_p, win_size, tau_r: None is what the checkpoint says.
    min_ratio, max_ratio: speech tokens for a text token. steps, solver: of the flow. as_original: with the original's
    faults, see lm/decoding.py and original/streaming.py.
    """

    stream: bool = False
    speed: float = 1.0
    text_frontend: bool = True
    seed: int = 0
    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    win_size: int | None = None
    tau_r: float | None = None
    min_ratio: float = MIN_RATIO
    max_ratio: float = MAX_RATIO
    steps: int = 10
    solver: str = "euler"
    as_original: bool = False

    def __post_init__(self) -> None:
        if not MIN_SPEED <= self.speed <= MAX_SPEED:
            raise UsageError(f"speed is {self.speed}; it goes from {MIN_SPEED} to {MAX_SPEED}")
        if self.stream and self.speed != 1:
            raise UsageError("a stream has the speed 1", fix="leave out the speed, or the streaming")
        if not 0 <= self.seed < 2**32:
            raise UsageError(f"seed is {self.seed}; it goes from 0 to 2**32 - 1")
        if not 0 <= self.min_ratio <= self.max_ratio <= 1000:
            raise UsageError(f"min_ratio is {self.min_ratio} and max_ratio {self.max_ratio}; 0 <= min <= max <= 1000")
        if not 1 <= self.steps <= 1000:
            raise UsageError(f"steps is {self.steps}; it goes from 1 to 1000")
        if self.solver not in SOLVERS:
            raise UsageError(f"unknown solver {self.solver!r}", fix=f"use {', '.join(SOLVERS)}")
