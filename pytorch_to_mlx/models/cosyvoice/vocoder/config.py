"""The sizes of the vocoder, and the noise that it is given."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import mlx.core as mx

from ....config import number

# The source's noise from one sample to another, whole signal or piece: (first, last + 1) -> [1, L, harmonics + 1].
Noise: TypeAlias = Callable[[int, int], mx.array]


@dataclass(frozen=True)
class HiftConfig:
    """The names are those of the yaml, with Hugging Face's where it has one. The numbers are CosyVoice2's."""

    sample_rate: int = 24000
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
        same = (self.upsample_kernel_sizes, self.source_resblock_kernel_sizes, self.source_resblock_dilation_sizes)
        if any(len(sizes) != stages for sizes in same):
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
    def samples_per_frame(self) -> int:
        return math.prod(self.upsample_rates) * self.hop_length

    @classmethod
    def tiny(cls) -> "HiftConfig":
        return cls(base_channels=64, f0_channels=32)
