"""The files beside the weights under one set of names: pieces of text, vocabularies, generation, shortlist."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...checkpoint import read_json
from ...checkpoint.files import quote, relative_inside
from ...checkpoint.marian_vocab import read_vocab
from ...checkpoint.yaml_safe import read_yaml
from ...errors import FormatError
from ...generate.released import GENERATION, read_file
from ...text.pieces import MAX_BYTES
from ...weights import is_converted

SOURCE, TARGET, VOCAB, TARGET_VOCAB = "source.spm", "target.spm", "vocab.json", "target_vocab.json"
SHORTLIST = "shortlist.bin"
_TRANSFORMERS = (SOURCE, TARGET, VOCAB, TARGET_VOCAB, GENERATION)
# Settings of generation that transformers takes from config.json where there is no generation_config.json.
_LIFTED = (
    "num_beams", "max_length", "bad_words_ids", "early_stopping", "length_penalty", "no_repeat_ngram_size",
    "forced_eos_token_id",
)  # fmt: skip
MAX_LENGTH_FACTOR = 3.0  # Marian's default
MAX_SHORTLIST = 1 << 30


def extra_files(path: Path, config: Mapping[str, Any]) -> dict[str, bytes]:
    """Return what a converted folder holds beside the weights; what a checkpoint lacks is left out.

    Raises: FormatError for files that are damaged, or that a settings file names outside its folder.
    """
    folder = path if path.is_dir() else path.parent
    if is_converted(folder):
        names = [name for name in (*_TRANSFORMERS, SHORTLIST) if (folder / name).is_file()]
        return {name: read_file(folder / name, MAX_BYTES) for name in names}
    if config.get("positions") == "marian":
        return _marian_files(folder)
    files = {name: read_file(folder / name, MAX_BYTES) for name in (SOURCE, TARGET) if (folder / name).is_file()}
    for name in (VOCAB, TARGET_VOCAB):
        if (folder / name).is_file():
            files[name] = _json(read_vocab(folder / name))
    generation = _generation(folder, config)
    return {**files, GENERATION: _json(generation)}


def _generation(folder: Path, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of generation as transformers reads them: its own file, else what config.json has of them."""
    if (folder / GENERATION).is_file():
        return read_json(folder / GENERATION)
    lifted = {name: config[name] for name in _LIFTED if config.get(name) is not None}
    return {"forced_eos_token_id": config.get("eos_token_id", 0), **lifted}


def _marian_files(folder: Path) -> dict[str, bytes]:
    """Collect the files of a model of Marian's own by its settings (decoder.yml, config.yml), or by usual names."""
    settings = _settings(folder)
    vocabs = _named(folder, settings.get("vocabs")) or _usual_vocabs(folder)
    if not vocabs:
        raise FormatError(
            "no vocabulary (.spm, vocab.yml) beside the model", where=folder, fix="put its files together"
        )
    source, target = vocabs[0], vocabs[-1]
    files: dict[str, bytes] = {}
    if source.suffix == ".spm":
        files[SOURCE] = read_file(source, MAX_BYTES)
        if target != source:
            files[TARGET] = read_file(target, MAX_BYTES)
    else:
        files[VOCAB] = _json(read_vocab(source))
        if target != source:
            files[TARGET_VOCAB] = _json(read_vocab(target))
        for name in (SOURCE, TARGET):
            if (folder / name).is_file():
                files[name] = read_file(folder / name, MAX_BYTES)
    lists = _named(folder, settings.get("shortlist"))[:1] or sorted(folder.glob("lex*.bin"))[:1]
    if lists:
        files[SHORTLIST] = read_file(lists[0], MAX_SHORTLIST)
    generation: dict[str, Any] = {
        "num_beams": settings.get("beam-size", 1),
        "length_penalty": float(settings.get("normalize") or 0.0),
        "max_length_factor": float(settings.get("max-length-factor", MAX_LENGTH_FACTOR)),
    }
    return {**files, GENERATION: _json(generation)}


def _settings(folder: Path) -> dict[str, Any]:
    """Return the settings of a decoder, from decoder.yml or config….yml; none where there is no such file."""
    candidates = [folder / "decoder.yml", *sorted(folder.glob("config*.yml"))]
    return next((read_yaml(path) for path in candidates if path.is_file()), {})


def _named(folder: Path, names: Any) -> list[Path]:
    """Return the files that a settings file names, which lie beside it; other values in its list are no names."""
    paths = [name for name in names if isinstance(name, str) and "." in name] if isinstance(names, list) else []
    return [relative_inside(folder, Path(name).name, where=folder) for name in paths]


def _usual_vocabs(folder: Path) -> list[Path]:
    for patterns in (
        ("srcvocab*.spm", "trgvocab*.spm"),
        ("vocab*.spm",),
        ("*vocab.yml",),
        ("source.spm", "target.spm"),
    ):
        matches = [sorted(folder.glob(pattern)) for pattern in patterns]
        if all(matches):
            if any(len(paths) > 1 for paths in matches):
                names = [quote(path.name) for paths in matches for path in paths]
                raise FormatError("several vocabularies", where=folder, fix="name two in decoder.yml", details=names)
            return [paths[0] for paths in matches]
    return []


def _json(content: Mapping[str, Any]) -> bytes:
    return (json.dumps(content, ensure_ascii=False, indent=1) + "\n").encode()
