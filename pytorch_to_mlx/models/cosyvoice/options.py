"""How to speak: the options that every mode shares."""

from dataclasses import dataclass

from ...errors import UsageError
from ...tasks import check_seed, check_speed
from .flow.conditioning import SOLVERS
from .lm.decoder import MAX_RATIO, MIN_RATIO


@dataclass(frozen=True)
class Options:
    """How to speak, the same for every mode.

    Args:
        stream: yield audio as soon as there is some
        speed: times as fast; a stream has the speed 1
        text_frontend: write out numbers and the like, and split long texts
        temperature, top_k, top_p, win_size, tau_r: how tokens are drawn; None is what the checkpoint says
        min_ratio, max_ratio: speech tokens for each text token
        steps, solver: of the flow
        as_original: with the original's faults, see lm/decode_text.py, lm/decode_stream.py and original/streaming.py
    Raises: UsageError for a value out of range.
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
        check_speed(self.speed)
        if self.stream and self.speed != 1:
            raise UsageError("a stream has the speed 1", fix="leave out the speed, or the streaming")
        check_seed(self.seed, bits=32)
        if not 0 <= self.min_ratio <= self.max_ratio <= 1000:
            raise UsageError(
                f"0 <= min_ratio <= max_ratio <= 1000 does not hold for {self.min_ratio} and {self.max_ratio}"
            )
        if not 1 <= self.steps <= 1000:
            raise UsageError(f"steps must be between 1 and 1000, not {self.steps}")
        if self.solver not in SOLVERS:
            raise UsageError(f"unknown solver {self.solver!r}", fix=f"use {', '.join(SOLVERS)}")
