"""The checks that models of a task share."""

import numpy as np
import pytest

from pytorch_to_mlx.errors import CheckError, UsageError
from pytorch_to_mlx.tasks import Speech, check_seed, check_speed


def test_checked_speech_is_float32():
    speech = Speech(np.array([0.5, -0.25]), 24000, "hi", start_s=1.0).checked()
    assert speech.audio.dtype == np.float32 and speech.audio.tolist() == [0.5, -0.25]
    assert (speech.sample_rate, speech.text, speech.start_s) == (24000, "hi", 1.0)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_audio_that_is_not_finite_is_refused(value):
    with pytest.raises(CheckError, match="the model made audio that is not finite; its weights are damaged"):
        Speech(np.array([0.0, value], np.float32), 24000).checked()


@pytest.mark.parametrize("speed", [0.24, 4.01, 0.0, -1.0, float("nan"), float("inf")])
def test_speeds_out_of_range(speed):
    with pytest.raises(UsageError, match=f"speed must be between 0.25 and 4.0, not {speed}"):
        check_speed(speed)


def test_speeds_in_range():
    for speed in (0.25, 1, 4.0):
        check_speed(speed)


@pytest.mark.parametrize(("seed", "bits"), [(-1, 64), (2**64, 64), (2**32, 32)])
def test_seeds_out_of_range(seed, bits):
    with pytest.raises(UsageError, match=rf"seed must be between 0 and 2\*\*{bits} - 1, not {seed}"):
        check_seed(seed, bits)


def test_seeds_in_range():
    for seed, bits in ((0, 32), (2**32 - 1, 32), (2**32, 64), (2**64 - 1, 64)):
        check_seed(seed, bits)
