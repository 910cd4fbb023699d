"""nn/positions.py against openai-whisper. (The relative ones are compared with ESPnet in test_relative.py.)"""

import numpy as np
import pytest
from whisper.model import sinusoids as reference

from pytorch_to_mlx.nn.positions import sinusoids, sinusoids_at


def test_sinusoids_are_whisper_s():
    error = np.abs(np.array(sinusoids(1500, 512)) - reference(1500, 512).numpy()).max()
    assert error < 3e-4  # phases of 1,500 rad are rounded to 1.2e-4; a stored table is used as it is


def test_an_odd_width_is_refused():
    with pytest.raises(ValueError, match="even"):
        sinusoids(4, 5)


def test_positions_between_the_whole_ones():
    positions = np.array([0.0, 0.5, 3.25, 100.75])
    inverse = 10000.0 ** (-np.arange(8) / 7)  # the exponents go from 0 to -1 in 8 steps
    phase = positions[:, None] * inverse
    exact = np.concatenate([np.sin(phase), np.cos(phase)], axis=1)
    np.testing.assert_allclose(np.array(sinusoids_at(positions, 16)), exact, rtol=0, atol=2e-5)
    np.testing.assert_array_equal(np.array(sinusoids_at(np.arange(9), 16)), np.array(sinusoids(9, 16)))
