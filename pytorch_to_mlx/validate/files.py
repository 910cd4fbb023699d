"""Compare two files of one kind: two recordings, or two checkpoints tensor by tensor."""

from dataclasses import dataclass
from math import isnan
from pathlib import Path
from typing import Any

import numpy as np

from ..card import Tap
from ..errors import CheckError, FormatError
from ..progress import track
from .compare import TapResult, compare
from .report import describe

AUDIO = {".wav", ".flac", ".ogg", ".mp3"}


@dataclass(frozen=True)
class Comparison:
    """The differences of two files. `only` says what one side has alone: a tensor, or a sample rate."""

    ours: str
    reference: str
    results: tuple[TapResult, ...]
    only: tuple[str, ...] = ()

    @property
    def same(self) -> bool:
        """Whether everything is on both sides and within the tolerance."""
        return not self.only and all(result.passed for result in self.results)

    def to_dict(self) -> dict[str, Any]:
        """Return everything for JSON."""
        return {"same": self.same, **self.__dict__}

    def rows(self) -> list[dict[str, Any]]:
        """Return the tensors that differ most, at most 20."""
        worst = sorted(self.results, key=lambda r: (r.passed, -r.relative))
        return [
            {
                "name": r.name,
                "shape": str(list(r.shape)),
                "max abs": "" if isnan(r.max_abs) else f"{r.max_abs:.2e}",
                "relative": "" if isnan(r.relative) else f"{r.relative:.2e}",
                "SNR dB": "" if isnan(r.snr_db) else f"{r.snr_db:.1f}",
                "": "equal" if r.max_abs == 0 else ("close" if r.passed else "differs"),
            }
            for r in worst[:20]
        ]

    def summary(self) -> str:
        """Return how many are equal, close and different, and what only one side has."""
        equal = sum(r.max_abs == 0 for r in self.results)
        close = sum(r.passed for r in self.results) - equal
        counts = f"{equal} equal, {close} within the tolerance, {len(self.results) - equal - close} differ"
        return "\n".join([f"{len(self.results)} compared: {counts}", *self.only])

    def check(self) -> "Comparison":
        """Return self.

        Raises: CheckError if anything differs by more than the tolerance.
        """
        if self.same:
            return self
        failures = [f"{result.name}: {describe(result)}" for result in self.results if not result.passed]
        raise CheckError(f"differs from {self.reference}", where=self.ours, details=[*self.only, *failures])


def compare_files(ours: str | Path, reference: str | Path, *, tolerance: Any = "float32") -> Comparison:
    """Compare two audio files, or two checkpoints (files, folders) by the names of their tensors.

    Raises: FormatError for audio and a checkpoint, and for what cannot be read.
    """
    is_audio = [Path(path).suffix.lower() in AUDIO for path in (ours, reference)]
    if all(is_audio):
        return _audio(Path(ours), Path(reference), tolerance)
    if any(is_audio):
        raise FormatError("one is audio, the other is not", where=ours, fix="compare two files of one kind")
    return _checkpoints(str(ours), str(reference), tolerance)


def _audio(ours: Path, reference: Path, tolerance: Any) -> Comparison:
    from ..audio import wav

    (a, a_rate), (b, b_rate) = wav.read(ours), wav.read(reference)
    only = [] if a_rate == b_rate else [f"sample rates {a_rate} and {b_rate} Hz"]
    common = min(len(a), len(b))
    if len(a) != len(b):
        lengths = f"{len(a)} and {len(b)} samples ({len(a) / a_rate:.3f} and {len(b) / b_rate:.3f} s)"
        only.append(f"lengths {lengths}; only what both have is compared")
    result = compare(Tap("audio", tolerance), a[:common], b[:common], zeros_prove=True, other=reference.name)
    return Comparison(str(ours), str(reference), (result,), tuple(only))


def _checkpoints(ours: str, reference: str, tolerance: Any) -> Comparison:
    import mlx.core as mx

    from ..checkpoint import open_checkpoint
    from ..model_source import locate_model

    def numpy_of(array: mx.array) -> np.ndarray:
        return np.array(array.astype(mx.float32) if array.dtype == mx.bfloat16 else array)

    with open_checkpoint(locate_model(ours).path) as a, open_checkpoint(locate_model(reference).path) as b:
        names = sorted(set(a.names()) & set(b.names()))
        only = [f"only in {ours}: {name}" for name in sorted(set(a.names()) - set(b.names()))]
        only += [f"only in {reference}: {name}" for name in sorted(set(b.names()) - set(a.names()))]
        results = tuple(
            compare(
                Tap(name, tolerance), numpy_of(a[name]), numpy_of(b[name]), zeros_prove=True, other=Path(reference).name
            )
            for name in track(names, "comparing tensors", len(names))
        )
    return Comparison(ours, reference, results, tuple(only))
