"""What a family's reference.py provides: the PyTorch original and our model on the same weights."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np


@dataclass(frozen=True)
class Case:
    """One named input for both sides. Random numbers are part of it, so that both see the same."""

    name: str
    inputs: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Workload:
    """The same work on both sides, for `benchmark --against torch`.

    A callable that returns an iterator is consumed; its first item is the first audio.
    torch: None for what the original does not do. audio_s: seconds of audio that one call makes or hears, for the
    real-time factor. first_parts: seconds by part until the first audio, in the last call of ours.
    """

    ours: Callable[[], Any]
    torch: Callable[[], Any] | None
    audio_s: float | None = None
    first_parts: Callable[[], Mapping[str, float]] | None = None


class Reference(Protocol):
    """models/<name>/reference.py provides a class of this shape, called Reference."""

    @classmethod
    def open(cls, source_path: Path, mlx_path: Path | None = None) -> "Reference":
        """Build the PyTorch original and our model on the same weights."""
        ...

    @classmethod
    def alone(cls, side: Literal["ours", "torch"], source_path: Path, mlx_path: Path | None) -> Callable[[], Any]:
        """Build one side only and return its largest workload; `benchmark` takes load time and memory from it."""
        ...

    def cases(self) -> list[Case]: ...

    def torch(self, case: Case, dtype: str = "float32") -> dict[str, np.ndarray]:
        """Tap name -> value of the PyTorch original in `dtype`, "float32" or "float64"."""
        ...

    def mlx(self, case: Case) -> dict[str, np.ndarray]:
        """Tap name -> value of our model: the same names, the same shapes."""
        ...

    def workloads(self) -> dict[str, Workload]: ...
