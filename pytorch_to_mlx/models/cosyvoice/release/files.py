"""Open a release, a folder of several files, as one checkpoint; nothing in it is executed."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import mlx.core as mx

from ....audio.torch_random import TorchRandom
from ....checkpoint import Checkpoint, open_checkpoint, read_config
from ....checkpoint.base import Entry
from ....checkpoint.files import SourceFile, quote
from ....errors import FormatError
from ..versions import COSYVOICE2, VERSIONS, Version
from .checks import check_shapes, check_version, onnx_sizes, plain_names, release_fix
from .config import release_config
from .speakers import read_speakers

SPEAKERS = "spk2info.pt"
NOISE_FRAMES = 15_000  # 300 s, the longest speech that the original can make


def is_release(path: Path, version: Version = COSYVOICE2) -> bool:
    """Return whether this folder looks like a release of this version, complete or not."""
    return path.is_dir() and (path / version.yaml).is_file()


def version_of(path: Path) -> Version:
    """Return the version of a converted folder or a release; version 2 if it is neither, to say what is missing."""
    return next(iter(_versions(path)), COSYVOICE2)


def check_version_of(path: Path, version: Version) -> None:
    """Raises: FormatError if this is a model of another version."""
    others = _versions(path)
    if others and version not in others:
        raise FormatError(
            f"this is a model of {others[0].name}, not of {version.name}",
            where=path,
            fix=f"use the {others[0].model_type} commands",
        )


def _versions(path: Path) -> list[Version]:
    """Return the version of a converted folder, or every version whose yaml a release has."""
    folder = path if path.is_dir() else path.parent
    if (folder / "config.json").is_file():
        model_type = str(read_config(folder).get("model_type"))
        if model_type in VERSIONS:
            return [VERSIONS[model_type]]
    return [version for version in VERSIONS.values() if is_release(folder, version)]


def open_release(path: Path, version: Version = COSYVOICE2) -> Checkpoint:
    """Open a release: tensors are named part.name, as `llm.speech_embedding.weight`, and `config` is ours, nested.

    Raises: FormatError naming the file if a part is missing, of another version or of other sizes than the yaml says;
    UnsafeError if the yaml asks for anything to be run.
    """
    folder = path if path.is_dir() else path.parent
    _check_files(folder, version)
    config = {"model_type": version.model_type, **release_config(folder, version)}
    entries: dict[str, Entry] = {}
    files: list[SourceFile] = []
    try:
        for part, name in _part_files(path, version).items():
            where = folder / name
            checkpoint = _open(where)
            files += checkpoint.files
            part_entries = plain_names(part, checkpoint.entries)
            check_version(part, part_entries, version, where)
            config |= onnx_sizes(part, checkpoint, part_entries, version)
            check_shapes(part, {key: entry.info for key, entry in part_entries.items()}, config, version, where)
            entries |= {f"{part}.{key}": _rename(entry, f"{part}.{key}") for key, entry in part_entries.items()}
    except FormatError:
        for file in files:
            file.close()
        raise
    return Checkpoint(str(path), "torch", entries, folder=folder, config=config, files=files)


def extra_files(
    path: Path, config: dict[str, Any], version: Version = COSYVOICE2
) -> dict[str, bytes | dict[str, mx.array]]:
    """Return what a converted folder holds beside the weights: the tokenizer, the fixed noise and the speakers.

    Version 1's tokenizer comes with this package, and it draws its noise anew.
    """
    folder = path if path.is_dir() else path.parent
    qwen = folder / version.qwen_folder
    files: dict[str, bytes | dict[str, mx.array]] = {name: _bytes(qwen / name) for name in version.tokenizer_files}
    if version.fixed_noise:
        files["noise.safetensors"] = {"flow": flow_noise(config["flow"]["n_mels"])}
    if (folder / SPEAKERS).exists():
        with open_checkpoint(folder / SPEAKERS) as checkpoint:
            speakers = read_speakers(checkpoint, config)
        files |= {f"speakers/{name}.safetensors": arrays for name, arrays in speakers.items()}
    return files


def flow_noise(n_mels: int) -> mx.array:
    """Return the noise that the original draws once, after seeding with 0, and starts every mel from.

    Shapes: -> [1, 15000, n_mels] float32. Source: CausalConditionalCFM, cosyvoice/flow/flow_matching.py@ace7c47.
    """
    return mx.contiguous(mx.array(TorchRandom(0).randn(1, n_mels, NOISE_FRAMES)).swapaxes(1, 2))


def _part_files(path: Path, version: Version) -> dict[str, str]:
    """Return the file of each part; a path to another language model of the release takes the place of its own."""
    parts = dict(version.parts)
    if path.name in version.other_llms:
        parts["llm"] = path.name
    return parts


def _check_files(folder: Path, version: Version) -> None:
    """Raises: FormatError naming the files that are missing."""
    fix = release_fix(version)
    if not (folder / version.yaml).exists():
        others = sorted(p.name for p in folder.glob("cosyvoice*.yaml") if p.name != version.yaml)
        reason = f"it has {', '.join(map(quote, others[:3]))}" if others else f"not a release of {version.name}"
        whole = [f"use the {other.model_type} commands, or " for other in _versions(folder)]
        fix = "".join(whole[:1]) + fix
        raise FormatError(f"this folder has no {version.yaml}: {reason}", where=folder, fix=fix)
    names = ("config.json", *version.tokenizer_files) if version.qwen_folder else ()
    qwen = [f"{version.qwen_folder}/{name}" for name in names]
    required = (version.yaml, *version.parts.values(), *qwen)
    missing = [name for name in required if not (folder / name).is_file()]
    if missing:
        count = f"{len(missing)} files are" if len(missing) > 1 else "a file is"
        raise FormatError(f"{count} missing from this release", where=folder, fix=fix, details=missing)


def _open(path: Path) -> Checkpoint:
    try:
        return open_checkpoint(path)
    except FormatError as error:
        fix = error.fix or "the file is damaged: download it again"
        raise FormatError(error.what, where=error.where, fix=fix, details=error.details) from None


def _rename(entry: Entry, name: str) -> Entry:
    return Entry(replace(entry.info, name=name), entry.read)


def _bytes(path: Path) -> bytes:
    with SourceFile(path) as file:
        return file.read(0, file.size)
