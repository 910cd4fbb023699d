"""What Vocos adds to the command line: `resynthesize`."""

from pathlib import Path
from time import perf_counter

from ...audio.speak import Synthesis, deliver, destination
from .card import CARD


def resynthesize(
    audio: str,
    /,
    *,
    model: str | None = None,
    output: Path | None = None,
    format: str | None = None,
    play: bool = False,
    revision: str | None = None,
) -> Synthesis:
    """Turn a recording into its mel spectrogram and back, to hear what the vocoder alone changes.

    Args:
        audio: the recording
        model: converted folder, original files or hub id; by default charactr/vocos-mel-24khz

    Example: pytorch-to-mlx vocos resynthesize speech.wav --output again.wav
    """
    from ...checkpoint import locate
    from ...tasks import Speech
    from .pipeline import load

    output, format = destination(output, format, play)
    start = perf_counter()
    located = locate(model, (CARD,), revision=revision)
    pipeline = load(located.path)
    loaded = perf_counter()
    samples = pipeline.resynthesize(audio)
    speech = Speech(samples, pipeline.sample_rate, processing_s=perf_counter() - loaded).checked()
    totals = deliver([speech], pipeline.sample_rate, output=output, format=format, play=play, n_pieces=1)
    return Synthesis.of(totals, start=start, loaded=loaded, path=output, model=located.name)
