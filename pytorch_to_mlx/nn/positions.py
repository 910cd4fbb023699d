"""Position embeddings that are computed, not learned."""

import math

import mlx.core as mx
import numpy as np


def sinusoids(length: int, channels: int, max_timescale: float = 10000.0) -> mx.array:
    """Sines in the first half of the channels, cosines in the second.

    Shapes: -> [length, channels] float32. Raises: ValueError if `channels` is odd.
    Source: Vaswani et al. 2017, section 3.5, in the layout of openai-whisper, whisper/model.py `sinusoids`.
    """
    if channels % 2:
        raise ValueError(f"{channels} channels: sines and cosines need an even number")
    step = math.log(max_timescale) / (channels // 2 - 1)
    # float32 throughout, as the reference: the phase reaches 1,500 and its rounding is part of the values.
    inverse = np.exp(np.float32(-step) * np.arange(channels // 2, dtype=np.float32))
    phase = np.arange(length, dtype=np.float32)[:, None] * inverse
    return mx.array(np.concatenate([np.sin(phase), np.cos(phase)], axis=1))
