"""The last layer of a vocoder: features to samples by an inverse short-time Fourier transform."""

import math
from collections.abc import Callable

import mlx.core as mx
from mlx.nn import Module

from ..audio.stft import hann_window, spectrum
from ..backend import ops
from .stream import Stream


class IstftHead(Module):
    """Log-magnitude m and phase p of each frame to a waveform: istft(min(exp(m), limit) · e^(i·p)), x = [m, φ].

    phase: p of φ; the sine is StyleTTS 2's, `unwrapped` takes φ as it is.
    Source: Kaneko et al. 2022, "iSTFTNet", section 2.2.
    """

    def __init__(
        self, n_fft: int, hop_length: int, limit: float = math.inf, *, phase: Callable[[mx.array], mx.array] = ops.sin
    ) -> None:
        super().__init__()
        self.n_fft, self.hop_length, self.limit, self.phase = n_fft, hop_length, limit, phase
        self._window = hann_window(n_fft)

    def __call__(self, x: mx.array, stream: Stream | None = None) -> mx.array:
        """Return the waveform; with `stream`, the samples that this piece completes.

        Shapes: x [B, T, n_fft + 2] -> [B, hop_length · (T - 1)] in samples.
        """
        log_magnitude, phase = mx.split(x.astype(mx.float32), 2, axis=-1)  # [B, T, n_fft//2 + 1] each
        spec = spectrum(mx.minimum(ops.exp(log_magnitude), self.limit), self.phase(phase))
        return (stream or Stream()).istft(spec, n_fft=self.n_fft, hop_length=self.hop_length, window=self._window)


def unwrapped(phase: mx.array) -> mx.array:
    """Return the phase as it is. Shapes: any -> the same. Source: Siuzdak 2023, "Vocos", section 3.2."""
    return phase
