import numpy as np
import pytest
from whisper.model import sinusoids as reference

from pytorch_to_mlx.nn.positions import sinusoids


def test_sinusoids_are_whisper_s():
    error = np.abs(np.array(sinusoids(1500, 512)) - reference(1500, 512).numpy()).max()
    assert error < 3e-4  # phases of 1,500 rad are rounded to 1.2e-4; a stored table is used as it is


def test_an_odd_width_is_refused():
    with pytest.raises(ValueError, match="even"):
        sinusoids(4, 5)
