"""Faster and slower speech: a mel spectrogram of another length."""

import mlx.core as mx
import numpy as np


def stretched(mel: mx.array, speed: float) -> mx.array:
    """The mel of faster or slower speech, by linear interpolation. Shapes: [1, T, n_mels] -> [1, T / speed, n_mels].

    Source: torch.nn.functional.interpolate(mode="linear"), whose first and last frames are held.
    """
    if speed == 1:
        return mel
    length, count = mel.shape[1], max(1, int(mel.shape[1] / speed))
    places = np.clip((np.arange(count) + 0.5) * (length / count) - 0.5, 0, None)
    before = np.minimum(places.astype(np.int64), length - 1)
    share = mx.array((places - before).astype(np.float32))[:, None]
    after = np.minimum(before + 1, length - 1)
    return mel[:, mx.array(before)] * (1 - share) + mel[:, mx.array(after)] * share
