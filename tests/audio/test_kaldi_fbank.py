"""Kaldi's filter bank and HiFi-GAN's mel against torchaudio and Matcha-TTS (tests/golden/cosyvoice_audio.py)."""

from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest
from golden.cosyvoice_audio import sound

from pytorch_to_mlx.audio.kaldi_fbank import kaldi_fbank
from pytorch_to_mlx.audio.mel import hifigan_log_mel

GOLDEN = Path(__file__).parent.parent / "golden" / "cosyvoice_audio.npz"
CASES = {
    "fbank": lambda: kaldi_fbank(sound()),
    "mel": lambda: hifigan_log_mel(sound(0.5, 24000), sample_rate=24000, n_fft=1920, hop_length=480, f_max=8000.0),
}


@pytest.mark.parametrize("name", CASES)
def test_equals_the_original(name):
    with np.load(GOLDEN) as golden:
        theirs = golden[name]
    ours = np.array(CASES[name]())
    assert ours.shape == theirs.shape and ours.dtype == np.float32
    # torch's own error here is 2e-5 (float32 against float64), ours 1e-5
    assert np.abs(ours - theirs).max() < 3e-5 * np.abs(theirs).max()


def test_silence_and_single_frames():
    assert np.allclose(np.array(kaldi_fbank(np.zeros(400, np.float32))), np.log(2.0**-23))
    assert kaldi_fbank(mx.zeros(400 + 160 * 3 - 1)).shape == (3, 80)
    assert hifigan_log_mel(np.zeros(961), sample_rate=24000, n_fft=1920, hop_length=480).shape == (2, 80)


def test_too_short():
    with pytest.raises(ValueError, match="fewer than one frame of 400"):
        kaldi_fbank(np.zeros(399, np.float32))
    with pytest.raises(ValueError, match="too few to reflect 720"):
        hifigan_log_mel(np.zeros(720), sample_rate=24000, n_fft=1920, hop_length=480)
