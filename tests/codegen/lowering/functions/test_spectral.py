"""Short-time transforms and windows, against torch."""

import mlx.core as mx
import numpy as np
import pytest
import torch

from pytorch_to_mlx.codegen.capture.tensors import to_mlx, to_numpy
from pytorch_to_mlx.codegen.lowering.functions import spectral

torch.manual_seed(0)
SOUND, WINDOW = torch.randn(2, 64), torch.hann_window(12)


@pytest.mark.parametrize(
    "center, pad_mode, onesided", [(True, "reflect", True), (True, "constant", False), (False, "", True)]
)
def test_stft(center, pad_mode, onesided):
    expected = torch.stft(SOUND, 16, 4, 12, WINDOW, center, pad_mode, onesided=onesided, return_complex=True)
    ours = spectral.stft(to_mlx(SOUND), 16, 4, 12, to_mlx(WINDOW), center, pad_mode, onesided)
    np.testing.assert_allclose(to_numpy(ours), expected.numpy(), atol=1e-5)


@pytest.mark.parametrize("length", [None, 60, 64])
def test_istft(length):
    spectrum = torch.stft(SOUND, 16, 4, 12, WINDOW, return_complex=True)
    expected = torch.istft(spectrum, 16, 4, 12, WINDOW, length=length)
    ours = spectral.istft(to_mlx(spectrum), 16, 4, 12, to_mlx(WINDOW), True, length)
    np.testing.assert_allclose(to_numpy(ours), expected.numpy(), atol=1e-5)


@pytest.mark.parametrize("periodic", [False, True])
@pytest.mark.parametrize("length", [1, 2, 9])
def test_windows(length, periodic):
    expected = torch.hamming_window(length, periodic)
    ours = spectral.cosine_window(length, periodic, [0.54, 0.46])
    np.testing.assert_allclose(to_numpy(ours), expected.numpy(), atol=1e-6)


def test_bins_and_frequencies():
    half = mx.arange(5.0)[None]
    assert spectral.hermitian(half, [1], 4).tolist() == [[0, 1, 2]]
    assert spectral.hermitian(half, [1], 20).tolist() == half.tolist()
    for n in (4, 5):
        np.testing.assert_allclose(to_numpy(spectral.fftfreq(n, 0.5)), torch.fft.fftfreq(n, 0.5).numpy())
    assert spectral.centred_window(None, 2, 6).tolist() == [0, 0, 1, 1, 0, 0]
