"""Fourier transforms. torch numbers the normalisation: 0 none, 1 by sqrt(n), 2 by n."""

from ...graph import Meta
from ..recorder import fn, mx
from .op_table import lowers
from .types import numel, to


def _scale(x, shape, dim, normalization: int):
    """Turn an unscaled transform into torch's numbered normalisation."""
    if normalization == 0 or not dim:
        return x
    count = numel(tuple(shape[d] for d in dim))
    return x / (mx.sqrt(mx.array(count).astype(mx.float32)) if normalization == 1 else count)


@lowers("_fft_c2c.default")
def fft_c2c(x, dim, normalization, forward):
    if not dim:
        return x
    x = to(x, mx.complex64)
    if forward:
        return _scale(mx.fft.fftn(x, axes=list(dim)), x.shape, dim, normalization)
    y = mx.fft.ifftn(x, axes=list(dim))  # MLX divides by n
    return _unscale(y, x.shape, dim, normalization)


def _unscale(y, shape, dim, normalization):
    """Turn MLX's division by n into torch's numbered normalisation."""
    if normalization == 2:
        return y
    count = numel(tuple(shape[d] for d in dim))
    return y * (mx.sqrt(mx.array(count).astype(mx.float32)) if normalization == 1 else count)


@lowers("_fft_r2c.default")
def fft_r2c(x, dim, normalization, onesided):
    y = mx.fft.rfftn(x, axes=list(dim)) if onesided else mx.fft.fftn(to(x, mx.complex64), axes=list(dim))
    return _scale(y, x.shape, dim, normalization)


@lowers("_fft_c2r.default")
def fft_c2r(x, dim, normalization, last_dim_size, *, result: Meta):
    sizes = [last_dim_size if d == dim[-1] else x.shape[d] for d in dim]
    y = mx.fft.irfftn(fn.hermitian(x, list(dim), last_dim_size), s=sizes, axes=list(dim))
    shape = list(x.shape)
    shape[dim[-1]] = last_dim_size
    return _unscale(y, shape, dim, normalization)


@lowers("stft.default")
def stft_of_frames(
    x, n_fft, hop_length=None, win_length=None, window=None, normalized=False, onesided=None, return_complex=None
):
    return stft(x, n_fft, hop_length, win_length, window, False, "reflect", normalized, onesided, return_complex)


@lowers("stft.center")
def stft(
    x, n_fft, hop_length=None, win_length=None, window=None, center=True, pad_mode="reflect", normalized=False,
    onesided=None, return_complex=None, align_to_window=None,
):  # fmt: skip
    onesided = onesided if onesided is not None else True
    spectrum = fn.stft(x, n_fft, hop_length or n_fft // 4, win_length or n_fft, window, center, pad_mode, onesided)
    spectrum = spectrum / n_fft**0.5 if normalized else spectrum
    return spectrum if return_complex else fn.view_as_real(spectrum)


@lowers("istft.default")
def istft(
    x, n_fft, hop_length=None, win_length=None, window=None, center=True, normalized=False, onesided=None, length=None,
    return_complex=False,
):  # fmt: skip
    hop = hop_length or n_fft // 4
    x = x * n_fft**0.5 if normalized else x
    return fn.istft(x, n_fft, hop, win_length or n_fft, window, center, length)


@lowers("hann_window.default", "hann_window.periodic")
def hann_window(window_length, periodic=True, dtype=None, *, result: Meta):
    return fn.cosine_window(window_length, periodic, [0.5, 0.5]).astype(result.dtype)


@lowers("hamming_window.default", "hamming_window.periodic")
def hamming_window(window_length, periodic=True, dtype=None, *, result: Meta):
    return fn.cosine_window(window_length, periodic, [0.54, 0.46]).astype(result.dtype)


@lowers("fft_fftfreq.default")
def fftfreq(n, d=1.0, dtype=None, *, result: Meta):
    return fn.fftfreq(n, d).astype(result.dtype)


@lowers("fft_rfftfreq.default")
def rfftfreq(n, d=1.0, dtype=None, *, result: Meta):
    return mx.arange(n // 2 + 1).astype(result.dtype) / (n * d)
