"""The frequencies of rotary position embedding."""

import numpy as np


def rotary_frequencies(dims: int, theta: float) -> np.ndarray:
    """Return theta^(-2i / dims) for each pair of features, computed in float32. Shapes: -> [dims / 2].

    Source: Su et al. 2021, section 3.2.2.
    """
    powers = np.float32(theta) ** (np.arange(0, dims, 2, dtype=np.float32) / np.float32(dims))
    return np.float32(1) / powers
