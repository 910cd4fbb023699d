"""Send a command's audio to a file, to the speakers, or to both, while it is being made."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np

from . import playback
from .wav import writer


@contextmanager
def open_sinks(
    sample_rate: int, *, output: Path | None, format: str | None, play: bool, keep_partial: bool = False
) -> Iterator[Callable[[np.ndarray], None]]:
    """Yield a function that sends the next samples to the file and to the speakers.

    keep_partial: as in audio.wav.writer.
    Shapes: audio float32 [L]. Raises: what audio.wav.writer and audio.playback.player raise.
    """
    with ExitStack() as stack:
        sinks: list[Callable[[np.ndarray], None]] = []
        if output is not None:
            sinks.append(
                stack.enter_context(writer(output, sample_rate, format=format, keep_partial=keep_partial)).write
            )
        if play:
            sinks.append(stack.enter_context(playback.player(sample_rate)))

        def send(audio: np.ndarray) -> None:
            for sink in sinks:
                sink(audio)

        yield send
