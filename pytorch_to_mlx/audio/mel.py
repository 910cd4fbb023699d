"""Mel filter banks and mel spectrograms."""

from functools import cache

import mlx.core as mx
import numpy as np

from .stft import hann_window, stft

LOWEST_POWER = 1e-10  # Whisper's floor before the logarithm


def hz_to_mel(hz: np.ndarray, *, htk: bool) -> np.ndarray:
    """HTK: 2595 log10(1 + f / 700). Slaney: linear up to 1 kHz, then 27 steps per factor of 6.4."""
    if htk:
        return 2595.0 * np.log10(1.0 + hz / 700.0)
    linear = hz * 3.0 / 200.0
    return np.where(hz < 1000.0, linear, 15.0 + np.log(np.maximum(hz, 1e-9) / 1000.0) * 27.0 / np.log(6.4))


def mel_to_hz(mel: np.ndarray, *, htk: bool) -> np.ndarray:
    """The inverse of hz_to_mel."""
    if htk:
        return 700.0 * (10.0 ** (mel / 2595.0) - 1.0)
    return np.where(mel < 15.0, mel * 200.0 / 3.0, 1000.0 * np.exp((mel - 15.0) * np.log(6.4) / 27.0))


@cache
def mel_filters(
    sample_rate: int,
    n_fft: int,
    n_mels: int,
    *,
    f_min: float = 0.0,
    f_max: float | None = None,
    htk: bool = False,
    slaney_norm: bool = True,
) -> mx.array:
    """Triangular filters, evenly spaced in mel.

    slaney_norm: every triangle has area 1 (in Hz) instead of height 1.
    Shapes: -> [n_fft//2 + 1, n_mels] float32.
    Source: librosa.filters.mel; Slaney 1998 (Auditory Toolbox); O'Shaughnessy 1987 for HTK's formula.
    """
    f_max = sample_rate / 2 if f_max is None else f_max
    bins = np.linspace(0.0, sample_rate / 2, n_fft // 2 + 1)
    low, high = hz_to_mel(np.array([f_min, f_max]), htk=htk)
    edges = mel_to_hz(np.linspace(low, high, n_mels + 2), htk=htk)
    rising = (bins[:, None] - edges[:-2]) / np.diff(edges)[:-1]
    falling = (edges[2:] - bins[:, None]) / np.diff(edges)[1:]
    filters = np.maximum(0.0, np.minimum(rising, falling))
    if slaney_norm:
        filters *= 2.0 / (edges[2:] - edges[:-2])
    return mx.array(filters.astype(np.float32))


def whisper_log_mel(samples: mx.array, n_mels: int = 80, *, padding: int = 0) -> mx.array:
    """Whisper's features: log10 of mel power, clipped 8 (80 dB) under the loudest value, scaled to about [-1, 1].

    padding: samples of silence added at the end.
    Shapes: samples [L] at 16 kHz -> [(L + padding) // 160, n_mels] float32.
    Source: Radford et al. 2022, section 2.2; openai-whisper, whisper/audio.py `log_mel_spectrogram`.
    """
    samples = mx.pad(samples.astype(mx.float32), (0, padding))
    spec = stft(samples[None], n_fft=400, hop_length=160, window=hann_window(400))[0, :-1]  # [T, 201]
    power = mx.square(mx.abs(spec))
    log_mel = mx.log10(mx.maximum(power @ mel_filters(16000, 400, n_mels), LOWEST_POWER))
    return (mx.maximum(log_mel, log_mel.max() - 8.0) + 4.0) / 4.0


def hifigan_log_mel(
    samples: np.ndarray | mx.array,
    *,
    sample_rate: int,
    n_fft: int,
    hop_length: int,
    n_mels: int = 80,
    f_min: float = 0.0,
    f_max: float | None = None,
) -> mx.array:
    """HiFi-GAN's features: the natural logarithm of mel magnitudes, at least 1e-5, one frame per whole hop.

    Computed in float64 and rounded once, because the logarithm magnifies the error of quiet bands.
    Shapes: samples [L] -> [L // hop_length, n_mels] float32, if n_fft - hop_length is even.
    Raises: ValueError if there are too few samples to reflect at the ends.
    Source: Kong et al. 2020; meldataset.py `mel_spectrogram` of jik876/hifi-gan, as Matcha-TTS and CosyVoice have it.
    """
    x = np.asarray(samples, np.float64)
    width = (n_fft - hop_length) // 2
    if len(x) <= width:
        raise ValueError(f"{len(x)} samples are too few to reflect {width} at each end")
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(x, width, mode="reflect"), n_fft)[::hop_length]
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)
    magnitude = np.sqrt(np.square(np.abs(np.fft.rfft(frames * window))) + 1e-9)  # [T, n_fft//2 + 1]
    filters = np.array(mel_filters(sample_rate, n_fft, n_mels, f_min=f_min, f_max=f_max), np.float64)
    return mx.array(np.log(np.maximum(magnitude @ filters, 1e-5)).astype(np.float32))
