"""Resampling keeps a tone's pitch, level and length."""

import numpy as np
import pytest

from pytorch_to_mlx.audio.resample import resample


@pytest.mark.parametrize(("source", "target"), [(44_100, 16_000), (24_000, 16_000), (16_000, 24_000), (8_000, 16_000)])
def test_a_tone_is_the_same_tone(source, target):
    def tone(rate):
        return np.sin(2 * np.pi * 440 * np.arange(rate) / rate).astype(np.float32)

    resampled = resample(tone(source), source, target)
    assert resampled.dtype == np.float32 and len(resampled) == target
    np.testing.assert_allclose(resampled[500:-500], tone(target)[500:-500], atol=1e-4)


def test_what_the_target_cannot_hold_is_removed():
    tone = np.sin(2 * np.pi * 10_000 * np.arange(44_100) / 44_100)
    assert np.abs(resample(tone, 44_100, 16_000)[500:-500]).max() < 1e-3


def test_nothing_to_do():
    audio = np.ones(5, np.float32)
    assert resample(audio, 16_000, 16_000) is audio
    assert len(resample(np.zeros(0), 8_000, 16_000)) == 0
