"""From features to samples by an inverse short-time Fourier transform."""

import mlx.core as mx
from mlx.nn import Module

from ..audio.stft import hann_window, istft
from ..backend import ops


class IstftHead(Module):
    """Log-magnitude and phase per frame to a waveform: istft(exp(m) · e^(i·sin(p))), x = [m, p].

    Shapes: x [B, T, n_fft + 2] -> [B, hop_length · (T - 1)] in samples.
    Source: Kaneko et al. 2022, "iSTFTNet", section 2.2; the sine on the phase is StyleTTS 2's.
    """

    def __init__(self, n_fft: int, hop_length: int) -> None:
        super().__init__()
        self.n_fft, self.hop_length = n_fft, hop_length
        self._window = hann_window(n_fft)

    def __call__(self, x: mx.array) -> mx.array:
        log_magnitude, phase = mx.split(x.astype(mx.float32), 2, axis=-1)  # [B, T, n_fft//2 + 1] each
        magnitude, phase = ops.exp(log_magnitude), ops.sin(phase)
        spec = magnitude * ops.cos(phase) + 1j * (magnitude * ops.sin(phase))
        return istft(spec, n_fft=self.n_fft, hop_length=self.hop_length, window=self._window)
