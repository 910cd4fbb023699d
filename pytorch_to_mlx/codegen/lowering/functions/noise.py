"""Noise that a model takes as an input, or draws itself where none is given."""

import mlx.core as mx


def normal_noise(noise, shape: list, dtype):
    """Return the noise that the caller gave; standard normal numbers if it gave none.

    Shapes: noise and the result as `shape`.
    Raises: ValueError for noise of another shape.
    """
    if noise is None:
        return mx.random.normal(shape, dtype)
    if list(noise.shape) != list(shape):
        raise ValueError(f"this noise has the shape {list(shape)}, not {list(noise.shape)}")
    return noise


def uniform_noise(noise, shape: list, dtype):
    """Return the noise that the caller gave; numbers from 0 to 1 if it gave none.

    Shapes: noise and the result as `shape`.
    Raises: ValueError for noise of another shape.
    """
    if noise is None:
        return mx.random.uniform(shape=shape, dtype=dtype)
    if list(noise.shape) != list(shape):
        raise ValueError(f"this noise has the shape {list(shape)}, not {list(noise.shape)}")
    return noise
