"""The vocoder of version 1: its source adds the frequency up sample by sample.

Reference: HiFTGenerator with SineGen, cosyvoice/hifigan/generator.py@ace7c47.
"""

import math
from dataclasses import dataclass

import mlx.core as mx
import numpy as np

from ....nn.nsf import HarmonicSource
from .config import HiftConfig
from .hift import Hift


@dataclass(frozen=True)
class SampledHiftConfig(HiftConfig):
    """The defaults are CosyVoice 1's."""

    sample_rate: int = 22050
    upsample_rates: tuple[int, ...] = (8, 8)
    upsample_kernel_sizes: tuple[int, ...] = (16, 16)
    source_resblock_kernel_sizes: tuple[int, ...] = (7, 11)
    source_resblock_dilation_sizes: tuple[tuple[int, ...], ...] = ((1, 3, 5), (1, 3, 5))


class SampledSource(HarmonicSource):
    """A source of one frequency for all samples of a frame, whose overtones start anywhere.

    initial_phases: in radians, 0 for the fundamental. The original draws those of the overtones anew for every call,
    uniformly; here they are always the same, so that all pieces of a stream have them.
    """

    initial_phases = np.random.default_rng(0).uniform(-math.pi, math.pi, 64).astype(np.float32)
    initial_phases[0] = 0

    @property
    def lag(self) -> int:
        """Samples at the end whose phase depends on the next frame: none."""
        return 0

    def phase(self, f0: mx.array, samples: np.ndarray) -> mx.array:
        """Return each harmonic's phase; its sum is rounded as PyTorch rounds that of float32, kept in float64.

        Shapes: f0 [B, T], samples [L] -> [B, L, harmonics + 1].
        """
        orders = mx.arange(1, self.harmonics + 2, dtype=mx.float32)
        frames, place = mx.array(samples // self.upsample), mx.array(samples % self.upsample + 1)
        with mx.stream(mx.cpu):  # GPUs have no float64
            turns = (f0[..., None] * orders / self.sample_rate).astype(mx.float64)  # of each sample, [B, T, H]
            before = (mx.cumsum(turns, axis=1) - turns) * self.upsample  # at the start of the frame
            turns = before[:, frames] + turns[:, frames] * place[:, None].astype(mx.float64)
            turns = mx.remainder(turns.astype(mx.float32), 1.0)
            return turns * (2 * math.pi) + mx.array(self.initial_phases[: self.harmonics + 1])


class SampledHift(Hift):
    """See `Hift`."""

    SOURCE = SampledSource
