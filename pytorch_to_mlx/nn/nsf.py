"""The harmonic-plus-noise source of a neural source-filter vocoder."""

import math

import mlx.core as mx
import numpy as np
from mlx.nn import Linear, Module

from ..backend import ops
from .linear import linear


class HarmonicSource(Module):
    """Sines at f0 and its harmonics where voiced, noise elsewhere, merged into one excitation.

    s = amplitude · sin(phase) · voiced + n · noise;  n = noise_std where voiced, else amplitude / 3;
    excitation = tanh(linear(s)).
    Raises: ValueError if upsample is at most 2.
    Source: Wang et al. 2019, "Neural source-filter waveform models", eq. 3-5; SineGen and SourceModuleHnNSF of
    kokoro 0.9.4. Their random initial phases are left out: they are added to the first sample of every f0 frame
    only, which the interpolation to the frame rate skips when upsample > 2, so they change no bit.
    """

    def __init__(
        self,
        *,
        sample_rate: int,
        upsample: int,
        harmonics: int = 8,
        amplitude: float = 0.1,
        noise_std: float = 0.003,
        voiced_threshold: float = 0.0,
    ) -> None:
        super().__init__()
        if upsample <= 2:
            raise ValueError(
                f"upsample is {upsample}: with less than 3 samples a frame the initial phases would matter"
            )
        self.linear = Linear(harmonics + 1, 1)
        self.sample_rate, self.upsample, self.harmonics = sample_rate, upsample, harmonics
        self.amplitude, self.noise_std, self.voiced_threshold = amplitude, noise_std, voiced_threshold

    def noise_shape(self, f0: mx.array) -> tuple[int, int, int]:
        """Return the shape of the noise for a whole contour. Shapes: f0 [B, T]."""
        batch, frames = f0.shape
        return batch, frames * self.upsample, self.harmonics + 1

    def __call__(self, f0: mx.array, noise: mx.array, start: int = 0) -> mx.array:
        """Return the excitation from sample `start` on, as long as `noise` is.

        Shapes: f0 [B, T] in Hz, noise [B, L, harmonics + 1] standard normal -> [B, L]; the whole is L = T·upsample.
        """
        f0 = f0.astype(mx.float32)
        samples = np.arange(start, start + noise.shape[1])
        phase = self.phase(f0, samples)
        voiced = (f0 > self.voiced_threshold).astype(mx.float32)[..., None]  # [B, T, 1]
        level = voiced * self.noise_std + (1 - voiced) * self.amplitude / 3
        frames = mx.array(samples // self.upsample)
        voiced, level = voiced[:, frames], level[:, frames]  # [B, L, 1]
        sines = ops.sin(phase) * self.amplitude * voiced + level * noise.astype(mx.float32)
        return ops.tanh(linear(self.linear, sines)).squeeze(-1)

    @property
    def lag(self) -> int:
        """Samples at the end whose phase depends on the next frame: it is interpolated between frames' centres."""
        return self.upsample // 2

    def phase(self, f0: mx.array, samples: np.ndarray) -> mx.array:
        """Return each harmonic's phase. Shapes: f0 [B, T], samples [L] -> [B, L, harmonics + 1]."""
        return harmonic_phase(
            f0, samples, sample_rate=self.sample_rate, upsample=self.upsample, harmonics=self.harmonics
        )


def harmonic_phase(f0: mx.array, samples: np.ndarray, *, sample_rate: int, upsample: int, harmonics: int) -> mx.array:
    """Return each harmonic's phase in radians: frequencies summed frame by frame, then interpolated between frames.

    Phases reach 1e6 rad, where float32 has steps of 0.06, so every rounding is audible. This rounds as PyTorch does
    on a CPU with fused multiply-add: sums in float64 (at::acc_type), the rest in float32, and a fused product and sum
    as float64 arithmetic rounded once. Hence the CPU stream: GPUs have no float64.
    Shapes: f0 [B, T] in Hz, samples [L], sample indices -> [B, L, harmonics + 1].
    Source: SineGen._f02sine of kokoro 0.9.4; aten/src/ATen/native/cpu/UpSampleKernel.cpp.
    """
    with mx.stream(mx.cpu):
        phase = frame_phase(f0, sample_rate=sample_rate, upsample=upsample, harmonics=harmonics)
        left, right, weight = (mx.array(a) for a in _between_frames(f0.shape[1], samples, upsample))
        fused = phase[:, left].astype(mx.float64) * (1 - weight)[:, None].astype(mx.float64)
        return (fused + phase[:, right] * weight[:, None]).astype(mx.float32)


def frame_phase(f0: mx.array, *, sample_rate: int, upsample: int, harmonics: int) -> mx.array:
    """Return each harmonic's phase at each frame, as `harmonic_phase` rounds it.

    Shapes: f0 [B, T] in Hz -> [B, T, harmonics + 1].
    """
    orders = mx.arange(1, harmonics + 2, dtype=mx.float32)
    with mx.stream(mx.cpu):
        turns = mx.remainder(f0[..., None] * orders / sample_rate, 1.0)  # [B, T, H]
        turns = mx.cumsum(turns.astype(mx.float64), axis=1).astype(mx.float32)
        return turns * 2 * math.pi * upsample


def _between_frames(frames: int, samples: np.ndarray, upsample: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return for each sample the frame on its left, the one on its right, and the weight of the right one.

    The centre of frame t is at sample upsample · (t + 0.5) - 0.5 (torch's align_corners=False).
    Shapes: samples [L] -> three of [L].
    """
    ratio = np.float64(np.float32(1 / upsample))
    position = (ratio * (samples.astype(np.float32) + np.float32(0.5)) - 0.5).astype(np.float32)
    position = np.maximum(position, 0)
    left = np.minimum(position.astype(np.int64), frames - 1)
    weight = np.clip(position - left.astype(np.float32), 0, 1)
    return left, np.minimum(left + 1, frames - 1), weight
