"""Mel filters and Whisper's features against openai-whisper and torch."""

import mlx.core as mx
import numpy as np
import pytest
import torch
from golden.f5_networks import golden, wave
from whisper.audio import log_mel_spectrogram
from whisper.audio import mel_filters as whisper_filters

from pytorch_to_mlx.audio.mel import hz_to_mel, mel_filters, mel_to_hz, vocos_log_mel, whisper_log_mel


@pytest.mark.parametrize("n_mels", [80, 128])
def test_filters_are_librosa_s(n_mels):
    ours = np.array(mel_filters(16000, 400, n_mels)).T
    assert np.abs(ours - whisper_filters("cpu", n_mels).numpy()).max() < 1e-8


@pytest.mark.parametrize("htk", [False, True])
def test_scale_and_its_inverse(htk):
    hz = np.linspace(0, 8000, 801)
    assert np.allclose(mel_to_hz(hz_to_mel(hz, htk=htk), htk=htk), hz, atol=1e-9)


def test_triangles_without_slaney_norm_reach_at_most_one():
    filters = np.array(mel_filters(24000, 1024, 40, f_max=8000.0, htk=True, slaney_norm=False))
    assert 0.5 < filters.max() <= 1.0 and filters.min() == 0.0


@pytest.mark.parametrize("length", [1, 159, 160, 401, 16000, 70001])
@pytest.mark.parametrize("n_mels", [80, 128])
def test_log_mel_is_whisper_s(length, n_mels):
    samples = np.random.default_rng(length).standard_normal(length).astype(np.float32) * 0.1
    samples[length // 3 : length // 2] = 0
    ours = np.array(whisper_log_mel(mx.array(samples), n_mels, padding=48000)).T
    theirs = log_mel_spectrogram(torch.from_numpy(samples), n_mels, padding=48000).numpy()
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).max() < 1e-5


def test_silence_is_finite():
    assert np.isfinite(np.array(whisper_log_mel(mx.zeros(16000)))).all()


@pytest.mark.parametrize(
    ("name", "options"),
    [("mel", {}), ("vocos center mel", {"floor": 1e-7}), ("vocos same mel", {"floor": 1e-7, "width": 384})],
)
def test_vocos_log_mel(name, options):
    """f5-tts 1.1.22 and vocos 0.1.0; see tests/golden/f5_networks.py."""
    expected = golden()[name]
    ours = np.array(vocos_log_mel(wave(), **options))
    assert len(ours) == 1 + (6077 + 2 * options.get("width", 512) - 1024) // 256
    np.testing.assert_allclose(np.exp(ours[::4]), np.exp(expected), rtol=0, atol=3e-6 * np.exp(expected.max()))
    loud = expected > np.log(1e-2)  # PyTorch's own float32 logarithms of quieter bands are off by up to 0.28
    assert loud.mean() > 0.1 and np.abs(ours[::4] - expected)[loud].max() < 3e-4
