"""A text for several voices, and the TOML file that names them: the original's format."""

import importlib.util
import re
import tomllib
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...errors import FormatError, MachineError, UsageError

MAIN = "main"
MAX_BYTES = 1 << 20
MAX_VOICES = 100
_TAG = re.compile(r"\[(\w+)\]")
_PACKAGED = "infer/examples/"  # how the original's own files name its recordings
# Of the original's keys: those that have a counterpart here, and those of files and devices that have none.
SETTINGS = {
    "speed": "speed", "nfe_step": "steps", "cfg_strength": "cfg", "sway_sampling_coef": "sway",
    "fix_duration": "fix_duration", "cross_fade_duration": "cross_fade", "target_rms": "target_rms",
    "seed": "seed", "remove_silence": "remove_silence",
}  # fmt: skip
UNUSED = frozenset(
    "model model_cfg ckpt_file vocab_file vocoder_name load_vocoder_from_local output_dir output_file save_chunk "
    "no_legacy_text device".split()
)


@dataclass(frozen=True)
class Speaker:
    """A voice of a TOML file. An empty ref_text is heard by Whisper."""

    ref_audio: str
    ref_text: str = ""
    speed: float | None = None


@dataclass(frozen=True)
class VoicesFile:
    """What a TOML file says: the voices by name, the text, and settings by the names of our options."""

    voices: dict[str, Speaker]
    text: str | None = None
    text_file: Path | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    unused: tuple[str, ...] = ()


def split_by_voice(text: str, voices: Collection[str], *, as_original: bool = False) -> list[tuple[str, str]]:
    """Return the parts of a text with the voice of each: [name] at its start, `main` where there is none.

    Only the tags of known voices are taken out. as_original: an unknown tag starts a part of `main`, and every [word]
    is left unsaid.
    """
    names = r"\w+" if as_original else "|".join(sorted(map(re.escape, {*voices, MAIN}), key=len, reverse=True))
    parts = []
    for piece in re.split(rf"(?=\[(?:{names})\])", text):
        tag = _TAG.match(piece)
        name = tag[1] if tag and tag[1] in {*voices, MAIN} else MAIN
        if as_original:
            piece = _TAG.sub("", piece)
        elif tag and tag[1] in {*voices, MAIN}:
            piece = piece[tag.end() :]
        if piece.strip():
            parts.append((name, piece.strip()))
    return parts


def read_voices(path: Path) -> VoicesFile:
    """Read a TOML file of voices. Recordings are looked for beside it, then in the current folder.

    Raises: FormatError that lists what is not understood; UsageError or MachineError if it cannot be read.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError as error:
        raise UsageError("there is no such file", where=path) from error
    except (OSError, ValueError) as error:
        raise MachineError(f"cannot be read: {error}", where=path) from error
    if len(data) > MAX_BYTES:
        raise FormatError(f"over {MAX_BYTES:,} bytes, which no list of voices has", where=path)
    try:
        content = tomllib.loads(data.decode("utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise FormatError(f"not TOML: {error}", where=path) from error
    return _checked(content, path)


def _checked(content: dict[str, Any], path: Path) -> VoicesFile:
    problems: list[str] = []
    texts = ("ref_audio", "ref_text", "gen_text", "gen_file")
    for name, value in content.items():
        if name in texts and not isinstance(value, str):
            problems.append(f"{name} is not a text")
        elif name in SETTINGS and not _is_setting(name, value):
            problems.append(f"{name} is not a number")
        elif name not in {*texts, *SETTINGS, *UNUSED, "voices"}:
            problems.append(f"unexpected: {name}")
    tables = content.get("voices", {})
    if not isinstance(tables, dict) or len(tables) > MAX_VOICES:
        problems.append(f"voices is not a table of at most {MAX_VOICES} voices")
        tables = {}
    main = {name: content[name] for name in ("ref_audio", "ref_text") if name in content}
    if main:
        tables = {**tables, MAIN: main}  # as in the original, it replaces a [voices.main]
    voices = {}
    for name, table in tables.items():
        wrong = _voice_problems(table)
        if not re.fullmatch(r"\w+", name):
            wrong.append("the name has other characters than letters, digits and _, so that no tag can name it")
        problems += [f"[voices.{name}] {problem}" for problem in wrong]
        if not wrong:
            audio = _place(table["ref_audio"], path.parent)
            voices[name] = Speaker(audio, table.get("ref_text", ""), table.get("speed"))
    if problems:
        raise FormatError("not a file of voices", where=path, details=problems)
    file = content.get("gen_file") or None
    return VoicesFile(
        voices,
        content.get("gen_text") or None,
        Path(_place(file, path.parent)) if file else None,
        {SETTINGS[name]: value for name, value in content.items() if name in SETTINGS},
        tuple(name for name in content if name in UNUSED),
    )


def _is_setting(name: str, value: Any) -> bool:
    if name == "remove_silence":
        return isinstance(value, bool)
    whole = name in ("nfe_step", "seed")
    return isinstance(value, int if whole else int | float) and not isinstance(value, bool)


def _voice_problems(table: Any) -> list[str]:
    if not isinstance(table, dict):
        return ["is not a table"]
    problems = [f"has an unexpected {name}" for name in table.keys() - {"ref_audio", "ref_text", "speed"}]
    if not isinstance(table.get("ref_audio"), str) or not table["ref_audio"]:
        problems.append("has no ref_audio")
    if not isinstance(table.get("ref_text", ""), str):
        problems.append("has a ref_text that is not a text")
    speed = table.get("speed", 1.0)
    if not isinstance(speed, int | float) or isinstance(speed, bool):
        problems.append("has a speed that is not a number")
    return problems


def _place(name: str, folder: Path) -> str:
    """Return where a file is that a TOML file names."""
    if name.startswith(_PACKAGED) and (package := importlib.util.find_spec("f5_tts")) is not None:
        [place, *_] = package.submodule_search_locations or [""]
        return str(Path(place) / name)
    beside = folder / name
    return str(beside) if "\0" not in name and beside.is_file() else name
