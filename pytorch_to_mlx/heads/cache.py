"""Features of a frozen trunk on disk: computed once, memory-mapped, and refused when the trunk has changed.

A folder holds meta.json (the trunk and the form), features-NNNNN.f16 (frames × layers × width, raw) and index.jsonl (a
line for each recording, written after its frames are on disk). A killed run goes on after the last whole line.
"""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ..checkpoint.files import SourceFile, quote
from ..checkpoint.json_file import parse_json, read_json
from ..config import from_dict, number
from ..errors import FormatError, MachineError
from ..outputs import write_output

VERSION = 1
SHARD_BYTES = 512 << 20
_MAX_FRAMES = 1 << 20


@dataclass(frozen=True)
class Form:
    """What all features of a cache have in common; with another form they are refused."""

    trunk: str
    layers: tuple[int, ...] = number(low=0)
    width: int = 512
    window: str = "own length"
    version: int = VERSION

    @property
    def row_bytes(self) -> int:
        """Return the bytes of one frame."""
        return 2 * len(self.layers) * self.width


@dataclass(frozen=True)
class Entry:
    """Where the features of one recording are. sha256: of the recording's bytes. digest: of its features."""

    sha256: str
    shard: int = number(low=0)
    offset: int = number(low=0, high=SHARD_BYTES)
    frames: int = number(high=_MAX_FRAMES)
    seconds: float = number(low=0.0)
    digest: str = ""


class FeatureCache:
    """The features of recordings, by the sha256 of their bytes."""

    def __init__(self, folder: Path, form: Form, *, shard_bytes: int = SHARD_BYTES) -> None:
        """Open the cache in `folder`, or begin one.

        Raises: FormatError for a damaged cache, and for one of another trunk or form, which it names.
        """
        self.folder, self.form, self._shard_bytes = folder, form, shard_bytes
        self._maps: dict[int, np.ndarray] = {}
        self._checked: set[str] = set()
        meta = folder / "meta.json"
        with _disk_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            if not meta.exists():
                if any(folder.iterdir()):
                    raise FormatError("not a folder of features: it has no meta.json", where=folder)
                write_output(meta, json.dumps(asdict(form), indent=1))
        self._check_form(from_dict(Form, read_json(meta), where=meta))
        self.entries = {entry.sha256: entry for entry in self._read_index()}

    def _check_form(self, theirs: Form) -> None:
        differing = [
            f"{field.name}: {quote(getattr(theirs, field.name))} there, {quote(getattr(self.form, field.name))} here"
            for field in fields(Form)
            if getattr(theirs, field.name) != getattr(self.form, field.name)
        ]
        if differing:
            raise FormatError(
                "these features were made with another " + ", ".join(text.split(":")[0] for text in differing),
                where=self.folder,
                fix="name another folder, or remove this one",
                details=differing,
            )

    def _read_index(self) -> Iterator[Entry]:
        """Yield the entries whose features are there; a line that a killed run left unfinished is cut off."""
        path = self.folder / "index.jsonl"
        if not path.exists():
            return
        with SourceFile(path) as file:
            data = file.read(0, file.size)
        whole = data.rfind(b"\n") + 1
        if whole < len(data):
            with _disk_errors(path):
                os.truncate(path, whole)
        for number_, line in enumerate(data[:whole].splitlines(), 1):
            where = f"{path}: line {number_}"
            entry = from_dict(Entry, parse_json(line, where=where), where=where)
            shard = self._shard(entry.shard)
            end = entry.offset + entry.frames * self.form.row_bytes
            if not shard.is_file() or shard.is_symlink() or shard.stat().st_size < end:
                raise FormatError(f"'{shard.name}' ends before its features", where=where, fix="remove the folder")
            yield entry

    def __contains__(self, key: str) -> bool:
        return key in self.entries

    def read(self, key: str) -> np.ndarray:
        """Return the features of a recording, mapped from the disk; the first reading checks their digest.

        Shapes: -> [T, layers, width] float16. Raises: FormatError if they are not what was written.
        """
        entry = self.entries[key]
        size = entry.frames * self.form.row_bytes
        if entry.shard not in self._maps or len(self._maps[entry.shard]) < entry.offset + size:
            self._maps[entry.shard] = np.memmap(self._shard(entry.shard), np.uint8, "r")
        data = self._maps[entry.shard][entry.offset : entry.offset + size]
        if key not in self._checked:
            if len(data) < size or sha256(data.data).hexdigest() != entry.digest:
                raise FormatError(
                    f"the features at byte {entry.offset} are not what was written",
                    where=self._shard(entry.shard),
                    fix="remove the folder; they are computed again",
                )
            self._checked.add(key)
        return data.view(np.float16).reshape(entry.frames, len(self.form.layers), self.form.width)

    def add(self, key: str, features: np.ndarray, seconds: float) -> None:
        """Append the features of a recording: first they are on the disk, then the index says so.

        Shapes: features [T, layers, width]. Raises: FormatError for features that are not finite in float16,
        MachineError if the disk refuses.
        """
        with np.errstate(over="ignore"):
            stored = np.ascontiguousarray(features, np.float16)
        if stored.shape[1:] != (len(self.form.layers), self.form.width) or not len(stored):
            raise ValueError(f"features of the shape {stored.shape}")
        if not np.isfinite(stored).all():
            raise FormatError("the trunk's features are not finite", fix="its weights, or the audio, are damaged")
        shard = max((entry.shard for entry in self.entries.values()), default=0)
        end = max((self._end(entry) for entry in self.entries.values() if entry.shard == shard), default=0)
        if end and end + stored.nbytes > self._shard_bytes:
            shard, end = shard + 1, 0
        entry = Entry(key, shard, end, len(stored), round(seconds, 3), sha256(stored.data).hexdigest())
        with _disk_errors(self.folder):
            with open(self._shard(shard), "ab") as file:
                file.truncate(end)  # what a killed run left after its last whole recording
                _append(file, stored.tobytes())
            with open(self.folder / "index.jsonl", "ab") as file:
                _append(file, json.dumps(asdict(entry)).encode() + b"\n")
        self.entries[key] = entry

    def _end(self, entry: Entry) -> int:
        return entry.offset + entry.frames * self.form.row_bytes

    def _shard(self, number: int) -> Path:
        return self.folder / f"features-{number:05d}.f16"

    def describe(self) -> Mapping[str, Any]:
        """Return how much there is, for reports."""
        seconds = sum(entry.seconds for entry in self.entries.values())
        return {"recordings": len(self.entries), "hours": round(seconds / 3600, 3), "layers": list(self.form.layers)}


def _append(file: BinaryIO, data: bytes) -> None:
    file.seek(0, os.SEEK_END)
    file.write(data)
    file.flush()
    os.fsync(file.fileno())


@contextmanager
def _disk_errors(where: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise MachineError(f"cannot be written: {error.strerror}", where=where) from error
