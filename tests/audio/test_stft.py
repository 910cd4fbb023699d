"""audio/stft.py against torch.stft and torch.istft."""

import mlx.core as mx
import numpy as np
import pytest
import torch

from pytorch_to_mlx.audio.stft import hann_window, istft, overlap_add, spectrum, squared_envelope, stft

SIZES = [(20, 5, 20, 600), (400, 160, 400, 4001), (512, 100, 401, 3000), (15, 4, 15, 77), (16, 16, 16, 64)]


@pytest.mark.parametrize("length", [1, 2, 15, 20, 400, 1024])
@pytest.mark.parametrize("periodic", [True, False])
def test_hann_window(length, periodic):
    theirs = torch.hann_window(length, periodic=periodic).numpy()
    np.testing.assert_allclose(np.array(hann_window(length, periodic=periodic)), theirs, atol=6e-8, rtol=0)


@pytest.mark.parametrize("n_fft,hop,win,length", SIZES)
@pytest.mark.parametrize("center,pad_mode", [(True, "reflect"), (True, "constant"), (False, "reflect")])
def test_stft(n_fft, hop, win, length, center, pad_mode):
    x = np.random.default_rng(0).standard_normal((2, length)).astype(np.float32)
    ours = stft(mx.array(x), n_fft=n_fft, hop_length=hop, window=hann_window(win), center=center, pad_mode=pad_mode)
    theirs = torch.stft(
        torch.from_numpy(x), n_fft, hop, win, torch.hann_window(win), center, pad_mode, return_complex=True
    ).transpose(1, 2)
    assert ours.shape == tuple(theirs.shape)
    scale = theirs.abs().max().item()
    assert np.abs(np.array(ours) - theirs.numpy()).max() <= 1e-6 * scale


@pytest.mark.parametrize("n_fft,hop,win,length", SIZES[:4])
@pytest.mark.parametrize("given", [None, 50])
def test_istft(n_fft, hop, win, length, given):
    rng = np.random.default_rng(1)
    frames, bins = 12, n_fft // 2 + 1
    spec = (rng.standard_normal((2, frames, bins)) + 1j * rng.standard_normal((2, frames, bins))).astype(np.complex64)
    ours = istft(mx.array(spec), n_fft=n_fft, hop_length=hop, window=hann_window(win), length=given)
    theirs = torch.istft(
        torch.from_numpy(spec).transpose(1, 2), n_fft, hop, win, torch.hann_window(win), length=given
    ).numpy()
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(np.array(ours), theirs, atol=1e-6 * np.abs(theirs).max(), rtol=0)


def test_istft_pads_to_a_length_past_the_end():
    spec = np.fft.rfft(np.random.default_rng(3).standard_normal((1, 6, 20))).astype(np.complex64)
    window = np.hanning(22)[1:-1].astype(np.float32)  # not zero at its ends, so that every sample can be inverted
    ours = istft(mx.array(spec), n_fft=20, hop_length=5, window=mx.array(window), length=60)
    with pytest.warns(UserWarning, match="padded with zeros"):
        theirs = torch.istft(
            torch.from_numpy(spec).transpose(1, 2), 20, 5, 20, torch.from_numpy(window), length=60
        ).numpy()
    np.testing.assert_allclose(np.array(ours), theirs, atol=1e-6 * np.abs(theirs).max(), rtol=0)


def test_istft_undoes_stft():
    x = np.random.default_rng(2).standard_normal((1, 600)).astype(np.float32)
    sizes = {"n_fft": 20, "hop_length": 5, "window": hann_window(20)}
    np.testing.assert_allclose(np.array(istft(stft(mx.array(x), **sizes), **sizes)), x, atol=2e-6)


def test_what_cannot_be_inverted_is_refused():
    with pytest.raises(ValueError, match="cannot be inverted"):
        istft(mx.zeros((1, 4, 9), mx.complex64), n_fft=16, hop_length=16, window=hann_window(16))
    with pytest.raises(ValueError, match="too few to reflect"):
        stft(mx.zeros((1, 10)), n_fft=20, hop_length=5, window=hann_window(20))
    with pytest.raises(ValueError, match="fewer than n_fft"):
        stft(mx.zeros((1, 10)), n_fft=20, hop_length=5, window=hann_window(20), center=False)
    with pytest.raises(ValueError, match="more than n_fft"):
        stft(mx.zeros((1, 100)), n_fft=20, hop_length=5, window=hann_window(21))


def test_overlap_add_sums_shifted_frames():
    frames = np.arange(24, dtype=np.float32).reshape(1, 4, 6)
    expected = np.zeros(4 * 3 + 6, np.float32)
    for t in range(4):
        expected[t * 4 : t * 4 + 6] += frames[0, t]
    np.testing.assert_array_equal(np.array(overlap_add(mx.array(frames), 4))[0], expected[: 4 * 3 + 6])


@pytest.mark.parametrize("size,hop", [(16, 4), (15, 4), (20, 20), (20, 7)])
def test_the_envelope_is_the_sum_of_all_squares(size, hop):
    window = hann_window(size)
    for count in (1, 3, 2 * -(-size // hop), 2 * -(-size // hop) + 1, 40):
        squares = mx.broadcast_to(mx.square(window), (1, count, size))
        assert np.array_equal(squared_envelope(window, count, hop), overlap_add(squares, hop))


def test_spectrum():
    magnitude, phase = np.random.default_rng(4).standard_normal((2, 3, 5, 7)).astype(np.float32)
    ours = np.array(spectrum(mx.array(magnitude), mx.array(phase)))
    np.testing.assert_allclose(ours, magnitude * np.exp(1j * phase), atol=1e-6, rtol=0)
