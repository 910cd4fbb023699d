"""The sample rates that a release of Silero VAD has a network for; nothing else differs between releases."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...config import from_dict

CHUNK_S = 0.032  # a decision is made for every chunk of 32 ms: 512 samples at 16 kHz, 256 at 8 kHz
KNOWN_RATES = (16000, 8000)


@dataclass(frozen=True)
class Config:
    """The sizes of Silero VAD. sample_rates: in Hz; there is one network for each."""

    sample_rates: tuple[int, ...] = (16000,)

    def __post_init__(self) -> None:
        if not self.sample_rates or len(set(self.sample_rates)) != len(self.sample_rates):
            raise ValueError(f"sample_rates are {list(self.sample_rates)}; give at least one, and each once")
        if unknown := set(self.sample_rates) - set(KNOWN_RATES):
            raise ValueError(f"there is no network for {min(unknown)} Hz, only for 16000 and 8000")

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Config":
        """Read config.json. Raises FormatError that lists every problem."""
        return from_dict(cls, data)

    @classmethod
    def tiny(cls) -> "Config":
        """Return the sizes of the real model with both networks, which is small enough for tests."""
        return cls((16000, 8000))
