"""Voices: one style vector for every length of input, 1 to 510 phonemes; read, listed and blended by name."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...checkpoint import open_checkpoint
from ...checkpoint.files import SourceFile
from ...errors import FormatError, UsageError
from ...text.phonemes import LANGUAGES

if TYPE_CHECKING:
    import mlx.core as mx

LENGTHS = 510  # a voice has one row for each number of phonemes; no input is longer
SHIPPED = Path(__file__).parent / "data"  # af_heart and am_michael, see NOTICE there
_GENDERS = {"f": "female", "m": "male"}
_FILES = (".safetensors", ".pt", ".bin", ".npy")

# The voices of the release, by language and gender.
RELEASED = tuple(
    f"{prefix}_{name}"
    for prefix, names in {
        "af": "alloy aoede bella heart jessica kore nicole nova river sarah sky",
        "am": "adam echo eric fenrir liam michael onyx puck santa",
        "bf": "alice emma isabella lily",
        "bm": "daniel fable george lewis",
        "ef": "dora",
        "em": "alex santa",
        "ff": "siwis",
        "hf": "alpha beta",
        "hm": "omega psi",
        "if": "sara",
        "im": "nicola",
        "jf": "alpha gongitsune nezumi tebukuro",
        "jm": "kumo",
        "pf": "dora",
        "pm": "alex santa",
        "zf": "xiaobei xiaoni xiaoxiao xiaoyi",
        "zm": "yunjian yunxi yunxia yunyang",
    }.items()
    for name in names.split()
)


@dataclass(frozen=True)
class Voice:
    """What the name of a voice tells: `af_heart` is American English, female. Fields are empty for other names."""

    name: str
    lang_code: str = ""
    language: str = ""
    gender: str = ""

    @classmethod
    def of(cls, name: str) -> "Voice":
        """Read language and gender from a name."""
        language = LANGUAGES.get(name[:1])
        gender = _GENDERS.get(name[1:2])
        if language is None or gender is None or name[2:3] != "_":
            return cls(name)
        return cls(name, language.code, language.name, gender)


class Voices:
    """The voices that a model can speak with; a file is read when its voice is first used."""

    def __init__(self, *sources: Path) -> None:
        """Collect the voices of each source: a folder of voice files, an .npz of many voices, or one voice file.

        Raises: UsageError for any other file.
        """
        self._files: dict[str, Path] = {}
        for source in sources:
            self._files = dict(_voice_files(source)) | self._files
        self._load = cache(self._read)

    def add(self, source: Path) -> None:
        """Add the voices of a source; they replace those of the same name."""
        self._files |= dict(_voice_files(source))
        self._load = cache(self._read)

    @classmethod
    def beside(cls, folder: Path, *more: Path) -> "Voices":
        """Return the voices of a model's folder; where it has none, the shipped ones, which belong to the release."""
        voices = folder / "voices"
        return cls(*more, *([voices] if voices.is_dir() else sorted(folder.glob("voices*.npz")) or [SHIPPED]))

    def names(self) -> list[str]:
        """Return the names in alphabetical order."""
        return sorted(self._files)

    def described(self) -> list[Voice]:
        """Return what the names tell, in alphabetical order."""
        return [Voice.of(name) for name in self.names()]

    def __call__(self, spec: str) -> np.ndarray:
        """Return the voice or blend `spec`: a name, the path of a voice file, or several with their shares.

        `af_heart,am_michael` is the mean, as the reference blends; `af_heart:0.6+am_michael:0.4` has shares.
        Shapes: -> [510, 2 * style_dim] float32; row n - 1 is for n phonemes.
        Raises: UsageError for an unknown voice or a bad blend, FormatError for a malformed file.
        """
        parts = parse_blend(spec)
        if len(parts) == 1:
            return self._load(parts[0][0])
        return np.stack([np.float32(weight) * self._load(name) for name, weight in parts]).sum(axis=0)

    def _read(self, name: str) -> np.ndarray:
        path = self._files.get(name)
        if path is None and Path(name).suffix in _FILES and Path(name).exists():
            path = Path(name)
        if path is None:
            similar = get_close_matches(name, self._files, n=3, cutoff=0.4)
            fix = f"did you mean {' or '.join(similar)}?" if similar else f"voices: {', '.join(self.names())}"
            if name in RELEASED:
                fix = "all 54 of the release: --voices packaged:kokoro-voices, or the hub's checkpoint"
            raise UsageError(f"there is no voice '{name}' here", fix=fix)
        return _rows(_read_tensor(path, Path(name).stem), path)


def parse_blend(spec: str) -> list[tuple[str, float]]:
    """Return the names of a blend with their shares, which add up to 1.

    Raises: UsageError for a malformed blend.
    """
    if Path(spec).suffix in _FILES and Path(spec).exists():
        return [(spec, 1.0)]
    parts = [part.strip() for part in spec.replace(",", "+").split("+")]
    names, weights = [], []
    for part in parts:
        name, colon, weight = part.partition(":")
        try:
            weights.append(float(weight) if colon else None)
        except ValueError:
            raise UsageError(f"the weight '{weight}' in voice '{spec}' is not a number") from None
        names.append(name)
    numbers = [weight for weight in weights if weight is not None]
    if not all(names) or len(numbers) not in (0, len(names)):
        what = f"'{spec}' is not a voice or a blend"
        raise UsageError(what, fix="write NAME, NAME,NAME or NAME:0.6+NAME:0.4 (every voice with a weight, or none)")
    if not all(math.isfinite(weight) and weight >= 0 for weight in numbers) or (numbers and not sum(numbers) > 0):
        raise UsageError(f"the weights in voice '{spec}' must be 0 or more, and not all 0")
    shares = numbers or [1.0] * len(names)
    return [(name, share / sum(shares)) for name, share in zip(names, shares, strict=True)]


def extra_files(folder: Path) -> "dict[str, dict[str, mx.array]]":
    """Return the voices as a converted folder holds them: voices/NAME.safetensors with one tensor, `voice`.

    Shapes: voice [510, 1, 2 * style_dim] float32.
    """
    import mlx.core as mx

    voices = Voices.beside(folder)
    return {f"voices/{name}.safetensors": {"voice": mx.array(voices(name))[:, None]} for name in voices.names()}


def _voice_files(source: Path) -> Iterator[tuple[str, Path]]:
    """Yield name and file of every voice in a folder, an .npz, or a single file."""
    if source.is_dir():
        for path in sorted(source.iterdir(), key=lambda path: (path.stem, _format_order(path))):
            if path.suffix in _FILES and path.is_file():
                yield path.stem, path
    elif source.suffix == ".npz":
        with open_checkpoint(source) as archive:
            yield from ((name, source) for name in archive.names())
    elif source.suffix in _FILES:
        yield source.stem, source
    else:
        raise UsageError("holds no voices", where=source, fix=f"give a folder, an .npz, or a file {' '.join(_FILES)}")


def _format_order(path: Path) -> int:
    return _FILES.index(path.suffix) if path.suffix in _FILES else len(_FILES)


def _read_tensor(path: Path, name: str) -> np.ndarray:
    """Read the one tensor of a voice file, or the tensor `name` of an .npz."""
    import mlx.core as mx

    if path.suffix == ".bin":
        with SourceFile(path) as file:
            raw = file.read_array(0, file.size if file.size <= 1 << 24 else 0)
        if len(raw) % (4 * LENGTHS) == 0 and raw[:2].tobytes() != b"PK":
            return raw.view("<f4").reshape(LENGTHS, -1)
    with open_checkpoint(path, max_bytes=1 << 28) as checkpoint:
        if path.suffix != ".npz" and len(checkpoint) != 1:
            raise FormatError(f"a voice is one tensor, this file holds {len(checkpoint)}", where=path)
        key = name if path.suffix == ".npz" else next(iter(checkpoint))
        return np.array(checkpoint[key].astype(mx.float32))


def _rows(voice: np.ndarray, path: Path) -> np.ndarray:
    """Return a voice as float32 [510, D] if it is one: [510, D] or [510, 1, D], and finite."""
    if voice.ndim == 3 and voice.shape[1] == 1:
        voice = voice[:, 0]
    if voice.ndim != 2 or voice.shape[0] != LENGTHS or voice.shape[1] == 0:
        raise FormatError(f"a voice is [{LENGTHS}, 1, 256], this is {list(voice.shape)}", where=path)
    if not np.isfinite(voice).all():
        raise FormatError("the voice holds values that are not finite", where=path)
    return np.ascontiguousarray(voice, np.float32)
