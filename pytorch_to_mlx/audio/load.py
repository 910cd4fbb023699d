"""Load audio as a model takes it: mono, float32, at the model's sample rate."""

from pathlib import Path

import numpy as np

from ..errors import FormatError
from . import wav

Audio = str | Path | bytes | np.ndarray


def load_audio(audio: Audio, sample_rate: int) -> np.ndarray:
    """Return a file, the bytes of a file, or samples that already have the rate, as mono float32.

    Shapes: audio, if an array, [L] -> [L'] at sample_rate.
    Raises: FormatError for audio that cannot be read, samples of another shape, and values that are not finite;
    UsageError and MachineError for a path that cannot be opened.
    """
    if isinstance(audio, str | Path | bytes):
        return wav.read(audio, sample_rate=sample_rate)[0]
    samples = np.asarray(audio, np.float32)
    if samples.ndim != 1:
        raise FormatError(f"samples have the shape {list(samples.shape)}, expected [L], mono at {sample_rate} Hz")
    if not np.isfinite(samples).all():
        raise FormatError("the samples contain NaN or infinity")
    return samples
