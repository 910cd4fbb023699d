"""The short-time Fourier transform and its inverse, with the same edges as torch.stft and torch.istft."""

import math
from typing import Literal

import mlx.core as mx
import numpy as np

from ..backend import ops

MIN_ENVELOPE = 1e-11


def hann_window(win_length: int, *, periodic: bool = True) -> mx.array:
    """Return the Hann window, 0.5 - 0.5 cos(2 pi n / N), N = win_length if periodic, else win_length - 1.

    Rounded step by step in float32 as torch.hann_window does.
    Shapes: -> [win_length] float32.
    """
    if win_length == 1:
        return mx.ones(1)
    steps = win_length if periodic else win_length - 1
    angle = np.arange(win_length, dtype=np.float32) * np.float32(2 * math.pi / steps)
    return mx.array(np.cos(angle) * np.float32(-0.5) + np.float32(0.5))


def stft(
    x: mx.array,
    *,
    n_fft: int,
    hop_length: int,
    window: mx.array,
    center: bool = True,
    pad_mode: Literal["reflect", "constant"] = "reflect",
) -> mx.array:
    """Return the one-sided short-time Fourier transform.

    Shapes: x [B, L], window [win_length <= n_fft] -> [B, T, n_fft//2 + 1] complex,
    T = 1 + L // hop_length if center, else 1 + (L - n_fft) // hop_length.
    Raises: ValueError if x is too short for one frame or for its reflection, or the window is longer than n_fft.
    Source: Allen & Rabiner 1977, eq. 1; same edges as torch.stft.
    """
    if center:
        x = _pad(x, n_fft // 2, pad_mode)
    batch, length = x.shape
    if length < n_fft:
        raise ValueError(f"{length} samples are fewer than n_fft = {n_fft}")
    count = 1 + (length - n_fft) // hop_length
    frames = mx.as_strided(mx.contiguous(x), (batch, count, n_fft), (length, hop_length, 1))  # [B, T, n_fft]
    return mx.fft.rfft(frames * _centred(window, n_fft))


def istft(
    spec: mx.array,
    *,
    n_fft: int,
    hop_length: int,
    window: mx.array,
    center: bool = True,
    length: int | None = None,
) -> mx.array:
    """Invert a one-sided STFT by windowed overlap-add.

    Shapes: spec [B, T, n_fft//2 + 1] complex, window [win_length <= n_fft] -> [B, L] float32, in samples;
    L = length, or else hop_length * (T - 1) if center and n_fft is even.
    Raises: ValueError if the summed squared window is below MIN_ENVELOPE anywhere (the frames cannot be inverted).
    Source: Griffin & Lim 1984, eq. 6; same edges as torch.istft.
    """
    count = spec.shape[-2]
    window = _centred(window, n_fft)
    samples = overlap_add(mx.fft.irfft(spec, n=n_fft) * window, hop_length)
    envelope = squared_envelope(window, count, hop_length)
    start = n_fft // 2 if center else 0
    total = samples.shape[-1]
    end = total - start if length is None else min(start + length, total)
    envelope = envelope[:, start:end]
    if envelope.size == 0 or float(mx.min(envelope)) < MIN_ENVELOPE:
        raise ValueError(f"the window cannot be inverted with hop_length = {hop_length} over {count} frames")
    samples = samples[:, start:end] / envelope
    missing = 0 if length is None else length - samples.shape[-1]
    return mx.pad(samples, [(0, 0), (0, missing)]) if missing else samples


def overlap_add(frames: mx.array, hop_length: int) -> mx.array:
    """Sum frames that start hop_length samples after one another.

    Shapes: frames [B, T, N] -> [B, hop_length * (T - 1) + N].
    """
    batch, count, size = frames.shape
    n_hops = -(-size // hop_length)  # that a frame covers, rounded up
    frames = mx.pad(frames, [(0, 0), (0, 0), (0, n_hops * hop_length - size)])
    pieces = frames.reshape(batch, count, n_hops, hop_length)
    shifted = [mx.pad(pieces[:, :, i], [(0, 0), (i, n_hops - 1 - i), (0, 0)]) for i in range(n_hops)]
    return ops.add(*shifted).reshape(batch, -1)[:, : hop_length * (count - 1) + size]


def squared_envelope(window: mx.array, count: int, hop_length: int) -> mx.array:
    """Sum the squares of a window at each of `count` frames, by which a sum of windowed frames is divided.

    Between its ends it repeats after each hop, so that few frames are added. Shapes: window [N]
    -> [1, hop_length * (count - 1) + N].
    """
    n_hops = -(-window.size // hop_length)
    few = min(count, 2 * n_hops)
    ends = overlap_add(mx.broadcast_to(mx.square(window), (1, few, window.size)), hop_length)
    if few == count:
        return ends
    middle = n_hops * hop_length
    repeated = mx.tile(ends[:, middle - hop_length : middle], (1, count - few))
    return mx.concatenate([ends[:, :middle], repeated, ends[:, middle:]], axis=1)


def spectrum(magnitude: mx.array, phase: mx.array) -> mx.array:
    """Return magnitude · e^(i · phase). Shapes: both [..., D] float32 -> [..., D] complex."""
    parts = mx.stack([magnitude * ops.cos(phase), magnitude * ops.sin(phase)], axis=-1)
    return parts.view(mx.complex64)[..., 0]


def _pad(x: mx.array, width: int, mode: str) -> mx.array:
    if mode == "constant":
        return mx.pad(x, [(0, 0), (width, width)])
    if mode != "reflect":
        raise ValueError(f"pad_mode must be 'reflect' or 'constant', not {mode!r}")
    length = x.shape[-1]
    if length <= width:
        raise ValueError(f"{length} samples are too few to reflect {width} at each end")
    left = x[:, width:0:-1]
    right = x[:, -2 : -width - 2 : -1]
    return mx.concatenate([left, x, right], axis=-1)


def _centred(window: mx.array, n_fft: int) -> mx.array:
    """Pad the window with zeros on both sides to n_fft, as torch does."""
    missing = n_fft - window.size
    if missing < 0:
        raise ValueError(f"the window has {window.size} samples, more than n_fft = {n_fft}")
    return mx.pad(window, (missing // 2, missing - missing // 2)) if missing else window
