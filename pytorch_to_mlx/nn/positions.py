"""Position embeddings that are computed, not learned."""

import math

import mlx.core as mx
import numpy as np


def sinusoids(length: int, channels: int, max_timescale: float = 10000.0) -> mx.array:
    """Return sines in the first half of the channels, cosines in the second.

    Shapes: -> [length, channels] float32. Raises: ValueError if `channels` is odd.
    Source: Vaswani et al. 2017, section 3.5, in the layout of openai-whisper, whisper/model.py `sinusoids`.
    """
    return sinusoids_at(np.arange(length), channels, max_timescale)


def sinusoids_at(positions: np.ndarray, channels: int, max_timescale: float = 10000.0) -> mx.array:
    """Return `sinusoids` at `positions`, which may be fractions.

    Shapes: positions [L] -> [L, channels] float32. Raises and Source: as `sinusoids`.
    """
    if channels % 2:
        raise ValueError(f"{channels} channels: sines and cosines need an even number")
    step = math.log(max_timescale) / (channels // 2 - 1)
    # float32 throughout, as the reference: the phase reaches 1,500 and its rounding is part of the values.
    inverse = _exp(np.float32(-step) * np.arange(channels // 2, dtype=np.float32))
    phase = positions.astype(np.float32)[:, None] * inverse
    return mx.array(np.concatenate([np.sin(phase), np.cos(phase)], axis=1))


def vaswani_sinusoids(length: int, channels: int) -> mx.array:
    """Return the sines of t / 10000^(2j / channels) in the first half of the channels, their cosines in the second.

    `sinusoids` divides by one channel less, as Tensor2Tensor and fairseq do.
    Shapes: -> [length, channels] float32. Raises: ValueError if `channels` is odd.
    Source: Vaswani et al. 2017, section 3.5, in the layout of transformers, MarianSinusoidalPositionalEmbedding.
    """
    if channels % 2:
        raise ValueError(f"{channels} channels: sines and cosines need an even number")
    phase = np.arange(length)[:, None] / 10000 ** (2 * np.arange(channels // 2) / channels)
    return mx.array(np.concatenate([np.sin(phase), np.cos(phase)], axis=1).astype(np.float32))


def relative_sinusoids(first: int, last: int, channels: int) -> mx.array:
    """Return a row for each distance from `first` down to `last`, sines and cosines interleaved.

    Shapes: -> [first - last + 1, channels] float32. Raises: ValueError if `channels` is odd.
    Source: Dai et al. 2019, "Transformer-XL", appendix B, in the layout of ESPnet's RelPositionalEncoding.
    """
    if channels % 2:
        raise ValueError(f"{channels} channels: sines and cosines need an even number")
    inverse = _exp(np.arange(0, channels, 2, dtype=np.float32) * np.float32(-math.log(10000.0) / channels))
    phase = np.arange(first, last - 1, -1, dtype=np.float32)[:, None] * inverse
    return mx.array(np.stack([np.sin(phase), np.cos(phase)], axis=-1).reshape(len(phase), channels))


def _exp(x: np.ndarray) -> np.ndarray:
    """Return exp(x) in float32, rounded correctly, as PyTorch's nearly always is and NumPy's often is not."""
    return np.exp(x.astype(np.float64)).astype(np.float32)
