"""Kaldi's log-mel filter bank, the input of most speaker-recognition models."""

from functools import cache

import mlx.core as mx
import numpy as np

PREEMPHASIS = 0.97
LOWEST_HZ = 20.0
EPSILON = 2.0**-23  # float32's


def kaldi_fbank(samples: np.ndarray | mx.array, *, sample_rate: int = 16000, n_mels: int = 80) -> mx.array:
    """Return log-mel energies of 25 ms frames every 10 ms, without dither: DC removed, pre-emphasised, Povey's window.

    Whole frames only (snip_edges). The samples are not rescaled: torchaudio's users pass [-1, 1], Kaldi's pass 16-bit
    integers. Computed in float64 and rounded once, because the logarithm magnifies the error of silent frames.
    Shapes: samples [L] -> [1 + (L - 25 ms) // 10 ms, n_mels] float32.
    Raises: ValueError if there is not one whole frame.
    Source: Kaldi, feat/feature-fbank.cc; torchaudio.compliance.kaldi.fbank(dither=0) with its other defaults.
    """
    size, hop = sample_rate * 25 // 1000, sample_rate // 100
    x = np.asarray(samples, np.float64)
    if len(x) < size:
        raise ValueError(f"{len(x)} samples are fewer than one frame of {size}")
    frames = np.lib.stride_tricks.sliding_window_view(x, size)[::hop]  # [T, size]
    frames = frames - frames.mean(axis=1, keepdims=True)
    previous = np.concatenate([frames[:, :1], frames[:, :-1]], axis=1)
    frames = (frames - PREEMPHASIS * previous) * _povey_window(size)
    n_fft = 1 << (size - 1).bit_length()
    power = np.square(np.abs(np.fft.rfft(frames, n_fft)))  # [T, n_fft//2 + 1]
    energies = power @ kaldi_mel_filters(sample_rate, n_fft, n_mels)
    return mx.array(np.log(np.maximum(energies, EPSILON)).astype(np.float32))


@cache
def kaldi_mel_filters(sample_rate: int, n_fft: int, n_mels: int) -> np.ndarray:
    """Return triangles of height 1 whose slopes are straight in mel, not in Hz, from 20 Hz to half the sample rate.

    Rounded to float32 step by step as torchaudio and Kaldi do: the lowest triangles are so narrow that the rounding
    is 1e-5 of them.
    Shapes: -> [n_fft//2 + 1, n_mels] float32.
    Source: Kaldi, feat/mel-computations.cc; torchaudio.compliance.kaldi.get_mel_banks.
    """
    low, high = _mel(LOWEST_HZ), _mel(sample_rate / 2)
    step = np.float32((high - low) / (n_mels + 1))
    edges = np.float32(low) + np.arange(n_mels + 2, dtype=np.float32) * step
    bins = _mel(np.arange(n_fft // 2, dtype=np.float32) * np.float32(sample_rate / n_fft))
    rising = (bins[:, None] - edges[:-2]) / np.diff(edges)[:-1]
    falling = (edges[2:] - bins[:, None]) / np.diff(edges)[1:]
    filters = np.maximum(np.float32(0), np.minimum(rising, falling))
    return np.pad(filters, [(0, 1), (0, 0)])  # the bin at half the sample rate is in no triangle


def _mel(hz):
    return 1127.0 * np.log(1.0 + hz / 700.0)


def _povey_window(size: int) -> np.ndarray:
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / (size - 1))) ** 0.85
