"""The sizes of the vocoder, and what its noise is."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import mlx.core as mx

from ....config import number
from ..versions import COSYVOICE2

F0_LAYERS = 5

# Draws the source's noise for samples start … end of the signal: (start, end) -> [1, end - start, harmonics + 1].
Noise: TypeAlias = Callable[[int, int], mx.array]


@dataclass(frozen=True)
class HiftConfig:
    """Sizes under the yaml's names, or Hugging Face's where it has one; the defaults are CosyVoice 2's."""

    sample_rate: int = COSYVOICE2.sample_rate
    n_mels: int = 80
    base_channels: int = 512
    nb_harmonics: int = 8
    nsf_alpha: float = number(0.1, low=0)
    nsf_sigma: float = number(0.003, low=0)
    nsf_voiced_threshold: float = number(10.0, low=0)
    upsample_rates: tuple[int, ...] = (8, 5, 3)
    upsample_kernel_sizes: tuple[int, ...] = (16, 11, 7)
    n_fft: int = 16
    hop_length: int = 4
    resblock_kernel_sizes: tuple[int, ...] = (3, 7, 11)
    resblock_dilation_sizes: tuple[tuple[int, ...], ...] = ((1, 3, 5), (1, 3, 5), (1, 3, 5))
    source_resblock_kernel_sizes: tuple[int, ...] = (7, 7, 11)
    source_resblock_dilation_sizes: tuple[tuple[int, ...], ...] = ((1, 3, 5), (1, 3, 5), (1, 3, 5))
    lrelu_slope: float = number(0.1, low=0)
    audio_limit: float = number(0.99, low=0)
    f0_channels: int = 512

    def __post_init__(self) -> None:
        stages = len(self.upsample_rates)
        per_stage = (self.upsample_kernel_sizes, self.source_resblock_kernel_sizes, self.source_resblock_dilation_sizes)
        if any(len(sizes) != stages for sizes in per_stage):
            raise ValueError("upsample_rates, upsample_kernel_sizes and source_resblock_* differ in length")
        if len(self.resblock_kernel_sizes) != len(self.resblock_dilation_sizes):
            raise ValueError("resblock_kernel_sizes and resblock_dilation_sizes differ in length")
        if any(k < r or (k - r) % 2 for k, r in zip(self.upsample_kernel_sizes, self.upsample_rates, strict=True)):
            raise ValueError("each upsample_kernel_sizes must be its rate plus an even number")
        if any(k % 2 == 0 for k in (*self.resblock_kernel_sizes, *self.source_resblock_kernel_sizes)):
            raise ValueError("resblock_kernel_sizes and source_resblock_kernel_sizes must be odd")
        if self.base_channels % 2**stages:
            raise ValueError(f"base_channels {self.base_channels} cannot be halved {stages} times")

    @property
    def input_padding(self) -> tuple[int, int]:
        """Frames before and after each that the first convolution sees."""
        return 3, 3

    @property
    def f0_convs(self) -> tuple[tuple[int, tuple[int, int]], ...]:
        """Kernel and padding of the pitch predictor's convolutions."""
        return ((3, (1, 1)),) * F0_LAYERS

    def padding(self, span: int) -> tuple[int, int]:
        """Return the zeros before and after the signal of a convolution that reaches over `span` more steps."""
        return span // 2, span // 2

    def down_padding(self, rate: int) -> tuple[int, int]:
        """Return the same for the convolution that brings the source to a `rate` times lower rate."""
        return rate // 2, rate // 2

    @property
    def samples_per_frame(self) -> int:
        """Samples of audio for each frame of mel."""
        return math.prod(self.upsample_rates) * self.hop_length

    @classmethod
    def tiny(cls) -> "HiftConfig":
        """Return small sizes for tests."""
        return cls(base_channels=64, f0_channels=32)


@dataclass(frozen=True)
class CausalHiftConfig(HiftConfig):
    """The defaults are CosyVoice 3's: only the first convolutions see later frames, the input's `lookahead` of them."""

    lookahead: int = 4

    @property
    def input_padding(self) -> tuple[int, int]:
        """Frames before and after each that the first convolution sees."""
        return 0, self.lookahead

    @property
    def f0_convs(self) -> tuple[tuple[int, tuple[int, int]], ...]:
        """Kernel and padding of the pitch predictor's convolutions."""
        return ((4, (0, 3)), *((3, (2, 0)),) * (F0_LAYERS - 1))

    def padding(self, span: int) -> tuple[int, int]:
        """Return the zeros before and after the signal of a convolution that reaches over `span` more steps."""
        return span, 0

    def down_padding(self, rate: int) -> tuple[int, int]:
        """Return the same for the convolution that brings the source to a `rate` times lower rate."""
        return rate - 1, 0

    @classmethod
    def tiny(cls) -> "CausalHiftConfig":
        """Return small sizes for tests."""
        return cls(base_channels=64, f0_channels=32)
