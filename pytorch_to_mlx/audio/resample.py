"""Change the sample rate of audio."""

import numpy as np


def resample(audio: np.ndarray, from_rate: int, to_rate: int) -> np.ndarray:
    """Resample with a linear-phase low-pass filter (soxr's high quality: pass band to 0.91 of Nyquist).

    Shapes: audio float [L] -> float32 [round(L * to_rate / from_rate)]
    """
    audio = np.ascontiguousarray(audio, np.float32)
    if from_rate == to_rate or not len(audio):
        return audio
    import soxr

    return soxr.resample(audio, from_rate, to_rate, quality="HQ")
