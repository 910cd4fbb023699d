"""Where a command's audio goes: into a file, to the speakers, or both, while it is being made."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np

from . import playback
from .wav import writer


@contextmanager
def delivery(
    sample_rate: int, *, output: Path | None, format: str | None, play: bool
) -> Iterator[Callable[[np.ndarray], None]]:
    """Yield a function that takes the next samples. Shapes: audio float32 [L]."""
    with ExitStack() as stack:
        takers: list[Callable[[np.ndarray], None]] = []
        if output is not None:
            takers.append(stack.enter_context(writer(output, sample_rate, format=format)).write)
        if play:
            takers.append(stack.enter_context(playback.player(sample_rate)))

        def deliver(audio: np.ndarray) -> None:
            for take in takers:
                take(audio)

        yield deliver
