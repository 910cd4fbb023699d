"""The random numbers of PyTorch's CPU generator, without PyTorch.

Some models draw a fixed noise when they are built and do not save it, so it has to be drawn again in the same way.
"""

import math
from typing import Any

import numpy as np

_BLOCK = 1 << 22


class TorchRandom:
    """The generator after torch.manual_seed(seed): float32 numbers in the order of the calls.

    `rand` is equal bit for bit; `randn` differs by up to 5e-7, because PyTorch approximates the logarithm and the sine.
    Source: Matsumoto & Nishimura 1998 (MT19937); aten/src/ATen/core/MT19937RNGEngine.h and
    native/cpu/DistributionTemplates.h (`normal_fill`), torch 2.13.
    """

    def __init__(self, seed: int) -> None:
        self._bits = np.random.MT19937()
        state: Any = np.random.RandomState(seed & 0xFFFFFFFF).get_state(legacy=False)
        self._bits.state = state

    def rand(self, *shape: int) -> np.ndarray:
        """Draw from the uniform distribution on [0, 1), 24 random bits each. Shapes: -> float32 `shape`."""
        bits = self._bits.random_raw(math.prod(shape)).astype(np.uint32) & np.uint32(0xFFFFFF)
        return (bits.astype(np.float32) * np.float32(2**-24)).reshape(shape)

    def randn(self, *shape: int) -> np.ndarray:
        """Draw from the standard normal distribution, in blocks of 16; the last block overlaps the one before it.

        Shapes: -> float32 `shape`.
        Raises: ValueError for fewer than 16 numbers, which PyTorch draws in another way.
        Source: Box & Muller 1958, eq. 1.
        """
        size = math.prod(shape)
        if size < 16:
            raise ValueError(f"{size} normal numbers were asked for; PyTorch draws fewer than 16 in another way")
        values = self.rand(size)
        whole = size // 16 * 16
        values[:whole] = _box_muller(values[:whole])
        if size > whole:
            values[-16:] = _box_muller(self.rand(16))
        return values.reshape(shape)

    def skip(self, count: int) -> None:
        """Draw `count` numbers and drop them."""
        while count > 0:
            self._bits.random_raw(min(count, _BLOCK))
            count -= _BLOCK


def _box_muller(uniform: np.ndarray) -> np.ndarray:
    """Turn uniform numbers into normal ones: of every 16, the first 8 give the radius, the last 8 the angle.

    Shapes: uniform [16 n] -> [16 n].
    """
    first, second = np.split(uniform.reshape(-1, 16), 2, axis=1)
    radius = np.sqrt(np.float32(-2) * np.log(np.float32(1) - first))
    angle = np.float32(2 * np.pi) * second
    return np.concatenate([radius * np.cos(angle), radius * np.sin(angle)], axis=1).reshape(-1)
