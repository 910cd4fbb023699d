"""Change the speed of speech: a mel spectrogram of another length."""

import mlx.core as mx
import numpy as np


def stretch(mel: mx.array, speed: float) -> mx.array:
    """Return the mel of speech `speed` times as fast. Shapes: mel [1, T, n_mels] -> [1, T / speed, n_mels]."""
    return mel if speed == 1 else resize(mel, max(1, int(mel.shape[1] / speed)))


def resize(x: mx.array, count: int) -> mx.array:
    """Return `count` steps in the place of T, by linear interpolation.

    Shapes: x [1, T, D] -> [1, count, D].
    Source: torch.nn.functional.interpolate(mode="linear"), whose first and last steps are held.
    """
    length = x.shape[1]
    positions = np.clip((np.arange(count) + 0.5) * (length / count) - 0.5, 0, None)
    before = np.minimum(positions.astype(np.int64), length - 1)
    fraction = mx.array((positions - before).astype(np.float32))[:, None]
    after = np.minimum(before + 1, length - 1)
    return x[:, mx.array(before)] * (1 - fraction) + x[:, mx.array(after)] * fraction
