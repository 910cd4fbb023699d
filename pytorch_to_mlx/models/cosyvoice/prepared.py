"""What the networks of versions 2 and 3 compute of a saved speaker alone, kept beside the speaker's file.

It is exact, and large: for each second of the recording 60 MB with version 2, 180 MB with version 3.
"""

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import mlx.core as mx
import numpy as np
from mlx.utils import tree_flatten

from ...checkpoint.budget import Budget
from ...checkpoint.safetensors import open_safetensors
from ...errors import FormatError
from .model import Model

KIND = "pytorch-to-mlx prepared speaker 1"
FOLDER = "prepared"  # in that of the speakers
LM, FLOW = "lm.", "flow."  # how the names of each network's arrays begin
STEPS, SOLVER = 10, "euler"  # that it is for; with others a request computes its own
SAMPLE = 64  # numbers of each weight, spread over it, that tell models apart
_ERRORS = {
    "kind": "it is something else",
    "model": "it was prepared with another model",
    "speaker": "it was prepared for another recording",
}


@dataclass(frozen=True)
class Prepared:
    """The arrays, or the file that has them: it is read when a request needs it. metadata: of arrays."""

    source: Mapping[str, mx.array] | Path
    metadata: Mapping[str, str] = field(default_factory=dict)

    def nbytes(self) -> int:
        """Return the bytes of the arrays, or of the file."""
        if isinstance(self.source, Path):
            return self.source.stat().st_size
        return sum(array.nbytes for array in self.source.values())

    def part(self, start: str, metadata: Mapping[str, str]) -> dict[str, mx.array]:
        """Return the arrays whose names begin so, without that. Raises: FormatError if the metadata is not this."""
        if not isinstance(self.source, Path):
            return self._part(self.source, self.metadata, start, metadata)
        with open_safetensors(self.source, Budget(self.source)) as file:
            return self._part(file, file.extra, start, metadata)

    def _part(
        self, arrays: Mapping[str, mx.array], own: Mapping[str, str], start: str, metadata: Mapping[str, str]
    ) -> dict[str, mx.array]:
        for name, value in metadata.items():
            if own.get(name) != value:
                raise self.error(_ERRORS[name])
        return {name.removeprefix(start): arrays[name] for name in arrays if name.startswith(start)}

    def error(self, what: object) -> FormatError:
        """Return the error for arrays that cannot be used."""
        return FormatError(
            f"not what this model prepares for this speaker: {what}",
            where=self.source if isinstance(self.source, Path) else None,
            fix="add the speaker again, or delete this file; speech then begins later",
        )

    def write(self, path: Path) -> None:
        """Write the arrays, or copy their file."""
        path.parent.mkdir(exist_ok=True)
        if isinstance(self.source, Path):
            shutil.copyfile(self.source, path)
            return
        with path.open("wb") as file:
            mx.save_safetensors(file, dict(self.source), dict(self.metadata))


def prepared_arrays(flow: Mapping[str, mx.array], lm: Mapping[str, mx.array]) -> dict[str, mx.array]:
    """Return the arrays of both networks under the names that `part` takes."""
    return {f"{FLOW}{name}": array for name, array in flow.items()} | {f"{LM}{name}": a for name, a in lm.items()}


def model_digest(model: Model) -> str:
    """Return what tells models apart: their sizes, and numbers from all over each weight."""
    digest = hashlib.sha256(json.dumps(asdict(model.config), sort_keys=True).encode())
    for part in (model.lm, model.flow):
        parameters: list[tuple[str, mx.array]] = tree_flatten(part.parameters())  # type: ignore[assignment, attr-defined]
        for name, array in parameters:
            numbers = array.reshape(-1)[:: max(1, array.size // SAMPLE)]
            plain = numbers if mx.issubdtype(numbers.dtype, mx.integer) else numbers.astype(mx.float32)
            digest.update(f"{name} {array.dtype} {array.shape}".encode() + np.array(plain).tobytes())
    return digest.hexdigest()


def arrays_digest(arrays: Mapping[str, mx.array]) -> str:
    """Return what tells speakers apart: all that a speaker's file holds."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(name.encode() + np.array(arrays[name]).tobytes())
    return digest.hexdigest()
