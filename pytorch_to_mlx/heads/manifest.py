"""Data for a head: a JSONL manifest, one recording a line. Wrong lines are listed, and the others are used.

    {"audio": "a/1.wav", "speaker": "anna", "text": "Press four.", "labels": {"language": "en"}, "split": "train"}

`audio` is a path from the manifest's folder; nothing else must be there that the head does not learn.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..checkpoint.files import SourceFile, quote
from ..checkpoint.json_file import parse_json
from ..errors import FormatError
from ..progress import note

PARTS = ("train", "dev", "test")
MAX_BYTES = 1 << 30
KEYS = frozenset("audio id text phonemes labels spans f0 speaker source split sample_rate".split())


@dataclass(frozen=True)
class Clip:
    """One recording and what is known of it.

    labels: of the whole clip, by the name of the output. spans: start and end in seconds, and a label, by output.
    f0: in Hz, one for each frame of 20 ms, 0 where unvoiced. source: the set or recording session that it is from.
    """

    id: str
    audio: Path
    line: int
    text: str | None
    phonemes: tuple[str, ...] | None
    labels: Mapping[str, str]
    spans: Mapping[str, tuple[tuple[float, float, str], ...]]
    f0: tuple[float, ...] | None
    speaker: str
    source: str
    split: str
    sample_rate: int | None

    @property
    def place(self) -> str:
        """Return how messages name the clip."""
        return f"line {self.line} ({self.id})"


def read_manifest(path: Path) -> tuple[list[Clip], list[str]]:
    """Return the clips of a manifest, and what is wrong with the lines that are left out.

    Raises: FormatError for a file that cannot be read, is empty or has no line without a fault.
    """
    clips: dict[str, Clip] = {}
    problems: list[str] = []
    unknown: set[str] = set()
    with SourceFile(path) as file:
        if file.size > MAX_BYTES:
            raise FormatError(f"{file.size} bytes, at most {MAX_BYTES} are read", where=path)
        lines = file.read(0, file.size).split(b"\n")
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = parse_json(line, where=f"line {number}")
            clip = _clip(row, path.parent, number)
            if clip.id in clips:
                raise FormatError(f"the id {quote(clip.id)} is that of line {clips[clip.id].line} too")
        except FormatError as error:
            problems.append(f"line {number}: {error.what}")
            continue
        unknown |= row.keys() - KEYS
        clips[clip.id] = clip
    if unknown:
        note(f"{path}: not read: {', '.join(map(quote, sorted(unknown)[:10]))}")
    if not clips:
        raise FormatError("no recording in this manifest can be used", where=path, details=problems or ["it is empty"])
    return list(clips.values()), problems


def _clip(row: Mapping[str, Any], folder: Path, line: int) -> Clip:
    """Return the clip of one line. Raises: FormatError for a missing or wrong value."""
    audio = _text(row, "audio") or ""
    if not audio or "\0" in audio:
        raise FormatError("'audio' is missing")
    path = folder / audio
    if not path.is_file():
        raise FormatError(f"there is no file {quote(audio)}")
    split = _text(row, "split") or ""
    if split and split not in PARTS:
        raise FormatError(f"'split' is {quote(split)}", fix=f"use {', '.join(PARTS)}")
    phonemes = row.get("phonemes")
    if isinstance(phonemes, str):
        phonemes = phonemes.split()
    rate = row.get("sample_rate")
    if rate is not None and type(rate) is not int:
        raise FormatError(f"'sample_rate' is {quote(rate)}, not a whole number")
    return Clip(
        id=_text(row, "id") or audio,
        audio=path,
        line=line,
        text=_text(row, "text"),
        phonemes=_items(phonemes, "phonemes", _is_label),
        labels=_checked_map(row, "labels", lambda value: value if _is_label(value) else None),
        spans=_checked_map(row, "spans", lambda value: _items(value, "spans", _is_span)),
        f0=_items(row.get("f0"), "f0", _is_pitch),
        speaker=_text(row, "speaker") or "",
        source=_text(row, "source") or "",
        split=split,
        sample_rate=rate,
    )


def _text(row: Mapping[str, Any], key: str) -> str | None:
    value = row.get(key)
    if value is not None and not isinstance(value, str):
        raise FormatError(f"'{key}' is {quote(value)}, not text")
    return value


def _items(value: Any, key: str, is_item: Callable[[Any], bool]) -> tuple[Any, ...] | None:
    """Return a list as a tuple, lists in it too. Raises: FormatError if it is not a list of such items."""
    if value is None:
        return None
    if not isinstance(value, list) or not all(map(is_item, value)):
        raise FormatError(f"'{key}' is {quote(value)}")
    return tuple(tuple(item) if isinstance(item, list) else item for item in value)


def _checked_map(row: Mapping[str, Any], key: str, check: Callable[[Any], Any]) -> dict[str, Any]:
    """Return a mapping with its values checked. Raises: FormatError for a value that is not what it should be."""
    value = row.get(key, {})
    checked = {name: check(item) for name, item in value.items()} if isinstance(value, dict) else {"": None}
    if None in checked.values():
        raise FormatError(f"'{key}' is {quote(value)}")
    return checked


def _is_label(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 100


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= 0


def _is_pitch(value: Any) -> bool:
    return _is_number(value) and value <= 20_000


def _is_span(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 3
        and all(map(_is_number, value[:2]))
        and value[0] < value[1]
        and _is_label(value[2])
    )
