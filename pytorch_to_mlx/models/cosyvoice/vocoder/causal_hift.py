"""The vocoder of version 3: one whose layers see no later step, but for its first ones.

Reference: CausalHiFTGenerator and SineGen2, cosyvoice/hifigan/generator.py@ace7c47.
"""

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from ....audio.torch_random import TorchRandom
from ....nn.conv import Conv1d
from ....nn.nsf import HarmonicSource, frame_phase
from ....nn.stream import Stream
from .config import Noise
from .hift import Hift

# What the original draws after it seeds torch with 0, before the noise: the flow's noise, and the first weights of its
# embedding and its speaker layer; those of the five convolutions and the last layer of the pitch predictor; a phase
# for each harmonic, which changes nothing.
DRAWN_BEFORE = (
    80 * 15_000 + 6561 * 80 + (192 + 1) * 80
    + (80 * 4 + 1) * 512 + 4 * (512 * 3 + 1) * 512 + (512 + 1)
    + 9
)  # fmt: skip


class SteppedSource(HarmonicSource):
    """A source whose phase stays the same during each frame."""

    @property
    def lag(self) -> int:
        """Samples at the end whose phase depends on the next frame: none."""
        return 0

    def phase(self, f0: mx.array, samples: np.ndarray) -> mx.array:
        """Shapes: f0 [B, T], samples [L] -> [B, L, harmonics + 1]."""
        phase = frame_phase(f0, sample_rate=self.sample_rate, upsample=self.upsample, harmonics=self.harmonics)
        return phase[:, mx.array(samples // self.upsample)]


class CausalHift(Hift):
    """See `Hift`. Upsampling repeats each step; the noise is uniform, and the same for every speech."""

    SOURCE = SteppedSource

    def upsampler(self, size_in: int, size: int, kernel: int, rate: int) -> nn.Module:
        """Return the layer that `upsample` applies."""
        return Conv1d(size_in, size, kernel, padding=(kernel - 1, 0))

    def upsample(self, layer: nn.Module, x: mx.array, rate: int, stream: Stream) -> mx.array:
        """Return the next piece at `rate` times its rate. Shapes: x [1, L, D_in] -> [1, rate · L, D_out]."""
        assert isinstance(layer, Conv1d)
        return stream.conv1d(layer, mx.repeat(x, rate, axis=1))

    def noise(self, seed: int) -> Noise:
        """Return a drawer of the noise that the original draws when it is built, whatever the seed."""
        return _FixedNoise(self.config.nb_harmonics + 1)


class _FixedNoise:
    """Numbers from 0 to 1, drawn as they are needed: the original holds 260 MB of them, for 300 s.

    Longer speech has the numbers that torch would draw next.
    """

    def __init__(self, channels: int) -> None:
        self._channels = channels
        self._restart()

    def _restart(self) -> None:
        self._random, self._position = TorchRandom(0), 0
        self._random.skip(DRAWN_BEFORE)

    def __call__(self, start: int, end: int) -> mx.array:
        """Shapes: -> [1, end - start, channels]."""
        if start < self._position:
            self._restart()
        self._random.skip((start - self._position) * self._channels)
        self._position = end
        return mx.array(self._random.rand(1, end - start, self._channels))
