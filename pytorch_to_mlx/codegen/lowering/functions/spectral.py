"""Fourier transforms of frames, and windows."""

import math

import mlx.core as mx

from .axes import pad_by_index


def hermitian(x: mx.array, axes: list[int], size: int) -> mx.array:
    """Cut the half spectrum of a real signal to at most size // 2 + 1 bins, on the last of the axes.

    Shapes: x [..., F, ...] -> [..., min(F, size // 2 + 1), ...].
    """
    bins = size // 2 + 1
    axis = axes[-1] % x.ndim
    if x.shape[axis] > bins:
        return x[(*[slice(None)] * axis, slice(0, bins))]
    return x


def centred_window(window, length: int, n_fft: int) -> mx.array:
    """Put a window (or ones) in the middle of n_fft samples. Shapes: window [length] or None -> [n_fft]."""
    window = mx.ones([length]) if window is None else window
    left = (n_fft - length) // 2
    return mx.pad(window, [(left, n_fft - length - left)])


def stft(x, n_fft: int, hop: int, length: int, window, center: bool, pad_mode: str, onesided: bool) -> mx.array:
    """Return short-time spectra. Shapes: x [L] or [B, L] -> [..., bins, frames] complex."""
    single = x.ndim == 1
    x = x[None] if single else x
    if center:
        x = (
            pad_by_index(x, [n_fft // 2, n_fft // 2], pad_mode)
            if pad_mode != "constant"
            else mx.pad(x, [(0, 0), (n_fft // 2, n_fft // 2)])
        )
    frames = (x.shape[1] - n_fft) // hop + 1
    index = mx.arange(frames)[:, None] * hop + mx.arange(n_fft)[None, :]
    pieces = mx.take(x, index.flatten(), axis=1).reshape([x.shape[0], frames, n_fft]) * centred_window(
        window, length, n_fft
    )
    spectrum = mx.fft.rfft(pieces, axis=-1) if onesided and x.dtype != mx.complex64 else mx.fft.fft(pieces, axis=-1)
    spectrum = spectrum.swapaxes(1, 2)
    return spectrum[0] if single else spectrum


def istft(x, n_fft: int, hop: int, length: int, window, center: bool, samples: int | None) -> mx.array:
    """Overlap and add inverse spectra, divided by the summed squared window.

    Shapes: x [bins, frames] or [B, bins, frames] complex -> [..., samples]. Source: Griffin & Lim 1984, eq. 6.
    """
    single = x.ndim == 2
    x = x[None] if single else x
    window = centred_window(window, length, n_fft)
    pieces = mx.fft.irfft(x.swapaxes(1, 2), n=n_fft, axis=-1) * window
    batch, frames, _ = pieces.shape
    total = n_fft + hop * (frames - 1)
    index = (mx.arange(frames)[:, None] * hop + mx.arange(n_fft)[None, :]).flatten()
    signal = mx.zeros([batch, total]).at[:, index].add(pieces.reshape([batch, -1]))
    weight = mx.zeros([total]).at[index].add(mx.tile(window * window, [frames]))
    start = n_fft // 2 if center else 0
    end = start + samples if samples is not None else (total - start if center else total)
    end = min(end, total)
    signal = signal[:, start:end] / weight[start:end]
    if samples is not None and samples > end - start:
        signal = mx.pad(signal, [(0, 0), (0, samples - (end - start))])
    return signal[0] if single else signal


def cosine_window(length: int, periodic: bool, weights: list[float]) -> mx.array:
    """Return a generalised cosine window w0 - w1 cos(2πn/N). Shapes: -> [length]."""
    size = length if periodic else max(length - 1, 1)
    if length == 1:
        return mx.ones([1])
    return weights[0] - weights[1] * mx.cos(2 * math.pi * mx.arange(length) / size)


def fftfreq(n: int, spacing: float) -> mx.array:
    """Return the frequencies of an n-point transform. Shapes: -> [n]."""
    index = mx.arange(n)
    return mx.where(index < (n + 1) // 2, index, index - n) / (n * spacing)
