"""The sizes of Vocos."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ...config import from_dict


@dataclass(frozen=True)
class Config:
    """The defaults are vocos-mel-24khz's.

    padding: "center" begins and ends in the middle of the first and last frame, so that T frames are T - 1 hops of
    audio; "same" makes T hops.
    """

    n_mels: int = 100
    hidden_size: int = 512
    intermediate_size: int = 1536
    num_layers: int = 8
    n_fft: int = 1024
    hop_length: int = 256
    sample_rate: int = 24000
    padding: Literal["center", "same"] = "center"

    def __post_init__(self) -> None:
        if self.n_fft % 2 or self.hop_length * 2 > self.n_fft or (self.n_fft - self.hop_length) % 2:
            raise ValueError("n_fft must be even, and hop_length even and at most half of it")

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Config":
        """Read config.json. Raises: FormatError that lists every problem."""
        return from_dict(cls, data)

    @classmethod
    def tiny(cls) -> "Config":
        """Return small sizes for tests, for the mels of the real model."""
        return cls(hidden_size=32, intermediate_size=64, num_layers=2)
