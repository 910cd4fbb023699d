"""Resampling keeps a tone's pitch, level and length; torchaudio's way gives torchaudio's samples."""

from pathlib import Path

import numpy as np
import pytest
from golden.cosyvoice_audio import RATES, sound

from pytorch_to_mlx.audio.resample import resample, sinc_resample

GOLDEN = Path(__file__).parent.parent / "golden" / "cosyvoice_audio.npz"


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


@pytest.mark.parametrize(("from_rate", "to_rate"), RATES)
def test_sinc_equals_torchaudio(from_rate, to_rate):
    with np.load(GOLDEN) as golden:
        theirs = golden[f"{from_rate} to {to_rate}"]
    ours = sinc_resample(sound(0.1, from_rate), from_rate, to_rate)
    assert ours.shape == theirs.shape and ours.dtype == np.float32
    assert np.abs(ours - theirs).max() < 1e-6 * np.abs(theirs).max()


def test_sinc_in_parts_and_at_odd_rates():
    long = np.random.default_rng(0).standard_normal(3_000_000).astype(np.float32)
    whole = sinc_resample(long, 44100, 16000)
    assert len(whole) == -(-len(long) * 160 // 441)
    np.testing.assert_array_equal(whole[:1000], sinc_resample(long[:10_000], 44100, 16000)[:1000])
    assert len(sinc_resample(long[:47999], 47999, 16001)) == 16001
    assert sinc_resample(long[:0], 44100, 16000).shape == (0,)
