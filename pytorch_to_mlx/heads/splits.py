"""Who is trained on and who is tested on: no speaker, no recording and no text on two sides."""

import json
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np

from ..errors import FormatError
from ..outputs import write_output
from .manifest import PARTS, Clip

HELD_OUT = 0.1  # of the clips, at least, for dev and for test each
_MIN_GROUPS = 3  # of speakers, or texts: one for each part


def normalize_text(text: str) -> str:
    """Return what is compared of a text: NFKC, case folded, no punctuation but apostrophes in words, single spaces.

    Numbers stay as they are written.
    """
    folded = unicodedata.normalize("NFKC", text).casefold().replace("’", "'")
    characters = (
        character
        if character.isalnum() or unicodedata.category(character).startswith("M") or _is_in_word(folded, place)
        else " "
        for place, character in enumerate(folded)
    )
    return " ".join("".join(characters).split())


def _is_in_word(text: str, place: int) -> bool:
    return text[place] == "'" and text[place - 1 : place].isalpha() and text[place + 1 : place + 2].isalpha()


def assign_splits(clips: Sequence[Clip], seed: int) -> tuple[list[Clip], str]:
    """Return the clips with their parts, and by what they were split: as the manifest says, by speaker, or by text.

    Speakers that are drawn from `seed` make up the test and the development part; with fewer than three speakers texts
    do. The same seed gives the same parts, whatever the order of the clips.
    Raises: FormatError if only some lines of the manifest say their part, or there is too little to split.
    """
    open_clips = [clip for clip in clips if not clip.split]
    if not open_clips:
        return list(clips), "manifest"
    if len(open_clips) < len(clips):
        raise FormatError(
            f"{len(open_clips)} of {len(clips)} lines have no 'split'",
            fix="give it for all, or for none",
            details=[clip.place for clip in open_clips],
        )
    for kind, key in (("speaker", _speaker), ("text", _text)):
        groups: dict[Hashable, list[Clip]] = defaultdict(list)
        for clip in clips:
            groups[key(clip) or clip.id].append(clip)
        is_named = all(map(key, clips))
        if len(groups) >= _MIN_GROUPS and (is_named or kind == "text"):
            part_of = _draw(groups, len(clips), seed)
            return [replace(clip, split=part_of[key(clip) or clip.id]) for clip in clips], kind
    raise FormatError("too few speakers and texts for a training, a development and a test part")


def _draw(groups: Mapping[Hashable, Sequence[Clip]], n_clips: int, seed: int) -> dict[Hashable, str]:
    """Return the part of each group: whole groups at random until test and dev have their share, the rest train."""
    names = sorted(groups, key=str)
    order = [names[place] for place in np.random.default_rng(seed).permutation(len(names))]
    part_of: dict[Hashable, str] = dict.fromkeys(names, "train")
    for part in ("test", "dev"):
        size = 0
        while order and size < HELD_OUT * n_clips and sum(p == "train" for p in part_of.values()) > 1:
            group = order.pop()
            part_of[group] = part
            size += len(groups[group])
    return part_of


def without_shared_texts(clips: Sequence[Clip]) -> tuple[list[Clip], list[Clip]]:
    """Return the clips without those whose text is also in the test part (or, of training, in dev), and the others."""
    texts = {part: {_text(clip) for clip in clips if clip.split == part and _text(clip)} for part in PARTS}
    held_out = {"train": texts["dev"] | texts["test"], "dev": texts["test"], "test": set()}
    used = [clip for clip in clips if _text(clip) not in held_out[clip.split]]
    return used, [clip for clip in clips if _text(clip) in held_out[clip.split]]


def shared(clips: Sequence[Clip], hashes: Mapping[str, str]) -> Iterator[str]:
    """Yield a line for every speaker, text and recording that is in two parts. hashes: of the audio, by clip's id."""
    kinds: tuple[tuple[str, Callable[[Clip], str]], ...] = (
        ("speaker", _speaker),
        ("text", _text),
        ("recording", lambda clip: hashes.get(clip.id, "")),
    )
    for kind, key in kinds:
        parts: dict[str, set[str]] = defaultdict(set)
        for clip in clips:
            parts[key(clip)].add(clip.split)
        for name, places in sorted(parts.items()):
            if name and len(places) > 1:
                yield f"{kind} {name[:60]!r} is in {' and '.join(sorted(places, key=PARTS.index))}"


def write_splits(path: Path, clips: Sequence[Clip]) -> None:
    """Write the part of every clip as JSONL, with its speaker and the sha256 of its normalised text."""
    rows = (
        {
            "id": clip.id,
            "source": clip.source,
            "speaker": clip.speaker,
            "text_sha256": sha256(_text(clip).encode()).hexdigest() if _text(clip) else None,
            "split": clip.split,
        }
        for clip in clips
    )
    write_output(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def _speaker(clip: Clip) -> str:
    return clip.speaker


def _text(clip: Clip) -> str:
    return normalize_text(clip.text) if clip.text else ""
