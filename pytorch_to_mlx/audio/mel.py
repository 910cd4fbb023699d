"""Mel filter banks and mel spectrograms."""

from collections.abc import Callable
from functools import cache

import mlx.core as mx
import numpy as np

LOWEST_POWER = 1e-10  # Whisper's floor before the logarithm
_BLOCK = 4096  # frames


def hz_to_mel(hz: np.ndarray, *, htk: bool) -> np.ndarray:
    """Convert Hz to mel. HTK: 2595 log10(1 + f / 700). Slaney: linear up to 1 kHz, then 27 steps per factor of 6.4.

    Shapes: any -> the same. Source: as `mel_filters`.
    """
    if htk:
        return 2595.0 * np.log10(1.0 + hz / 700.0)
    linear = hz * 3.0 / 200.0
    return np.where(hz < 1000.0, linear, 15.0 + np.log(np.maximum(hz, 1e-9) / 1000.0) * 27.0 / np.log(6.4))


def mel_to_hz(mel: np.ndarray, *, htk: bool) -> np.ndarray:
    """Convert mel to Hz, inverting `hz_to_mel`. Shapes: any -> the same."""
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
    """Return triangular filters, evenly spaced in mel.

    slaney_norm: each triangle has area 1 (in Hz) instead of height 1.
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


def whisper_log_mel(samples: np.ndarray | mx.array, n_mels: int = 80, *, padding: int = 0) -> mx.array:
    """Return Whisper's features: log10 of mel power, clipped 8 (80 dB) below the loudest value, scaled to near [-1, 1].

    padding: samples of silence added at the end.
    Computed in float64 and rounded once, because the logarithm magnifies the error of quiet bands.
    Shapes: samples [L] at 16 kHz -> [(L + padding) // 160, n_mels] float32.
    Raises: ValueError if there are too few samples to reflect at the ends.
    Source: Radford et al. 2022, section 2.2; openai-whisper, whisper/audio.py `log_mel_spectrogram`.
    """
    x = np.pad(np.asarray(samples, np.float64), (0, padding))
    mel = _mel_bands(x, mel_filters(16000, 400, n_mels), np.square, hop_length=160, width=200)[: len(x) // 160]
    log_mel = np.log10(np.maximum(mel, LOWEST_POWER))
    return mx.array(((np.maximum(log_mel, log_mel.max(initial=-10.0) - 8.0) + 4.0) / 4.0).astype(np.float32))


def _mel_bands(
    x: np.ndarray, filters: mx.array, strength: Callable[[np.ndarray], np.ndarray], *, hop_length: int, width: int
) -> np.ndarray:
    """Return the mel bands of each frame under a Hann window: strength(|rfft|) times the filters.

    width: samples that are reflected at each end.
    Shapes: x [L] float64, filters [n_fft//2 + 1, M] -> [1 + (L + 2 * width - n_fft) // hop_length, M] float64.
    """
    if len(x) <= width:
        raise ValueError(f"{len(x)} samples are too few to reflect {width} at each end")
    weights = np.array(filters, np.float64)
    n_fft = 2 * len(weights) - 2
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(x, width, mode="reflect"), n_fft)[::hop_length]
    bands = np.empty((len(frames), weights.shape[1]))
    for start in range(0, len(frames), _BLOCK):  # so that an hour of audio is not copied at once
        block = slice(start, start + _BLOCK)
        bands[block] = strength(np.abs(np.fft.rfft(frames[block] * window))) @ weights
    return bands


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
    """Return HiFi-GAN's features: the natural logarithm of mel magnitudes of at least 1e-5, one frame per whole hop.

    Computed in float64 and rounded once, because the logarithm magnifies the error of quiet bands.
    Shapes: samples [L] -> [L // hop_length, n_mels] float32, if n_fft - hop_length is even.
    Raises: ValueError if there are too few samples to reflect at the ends.
    Source: Kong et al. 2020; meldataset.py `mel_spectrogram` of jik876/hifi-gan, as Matcha-TTS and CosyVoice have it.
    """
    filters = mel_filters(sample_rate, n_fft, n_mels, f_min=f_min, f_max=f_max)
    bands = _mel_bands(
        np.asarray(samples, np.float64),
        filters,
        lambda magnitude: np.sqrt(np.square(magnitude) + 1e-9),
        hop_length=hop_length,
        width=(n_fft - hop_length) // 2,
    )
    return mx.array(np.log(np.maximum(bands, 1e-5)).astype(np.float32))


def vocos_log_mel(
    samples: np.ndarray | mx.array,
    *,
    sample_rate: int = 24000,
    n_fft: int = 1024,
    hop_length: int = 256,
    n_mels: int = 100,
    width: int | None = None,
    floor: float = 1e-5,
) -> mx.array:
    """Return Vocos's features: the natural logarithm of mel magnitudes of at least `floor`, HTK filters of height 1.

    width: samples that are reflected at each end, n_fft // 2 by default. floor: 1e-5 in F5-TTS, 1e-7 in Vocos itself.
    Computed in float64 and rounded once, because the logarithm magnifies the error of quiet bands.
    Shapes: samples [L] -> [1 + (L + 2 · width - n_fft) // hop_length, n_mels] float32.
    Raises: ValueError if there are too few samples to reflect at the ends.
    Source: Siuzdak 2023, "Vocos"; MelSpectrogramFeatures of vocos 0.1.0, MelSpec of f5_tts/model/modules.py.
    """
    filters = mel_filters(sample_rate, n_fft, n_mels, htk=True, slaney_norm=False)
    width = n_fft // 2 if width is None else width
    bands = _mel_bands(np.asarray(samples, np.float64), filters, np.abs, hop_length=hop_length, width=width)
    return mx.array(np.log(np.maximum(bands, floor)).astype(np.float32))
