"""The frequencies of rotary position embedding."""

import numpy as np


def rotary_frequencies(dims: int, theta: float) -> np.ndarray:
    """Return theta^(-2i / dims) for each pair of features, rounded to float32 at each step. Shapes: -> [dims / 2].

    Powers are rounded correctly, as PyTorch's nearly always are and NumPy's float32 ones often are not: where positions
    run to 1,000 an error of the last bit turns an angle by 1e-4.
    Source: Su et al. 2021, section 3.2.2.
    """
    exponents = np.arange(0, dims, 2, dtype=np.float32) / np.float32(dims)
    return np.float32(1) / np.power(float(theta), exponents.astype(np.float64)).astype(np.float32)
