"""The release of CosyVoice 2: a folder of several files, read as one checkpoint; nothing in it is executed."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import mlx.core as mx

from ....audio.torch_random import TorchRandom
from ....checkpoint import Checkpoint, open_checkpoint
from ....checkpoint.base import Entry
from ....checkpoint.files import SourceFile, quote
from ....errors import FormatError
from .checks import RELEASE, canonical, check_shapes, check_version, sizes_of
from .config import release_config
from .speakers import speakers
from .v2 import BLANK, YAML

PARTS = {
    "llm": "llm.pt",
    "flow": "flow.pt",
    "hift": "hift.pt",
    "campplus": "campplus.onnx",
    "speech_tokenizer": "speech_tokenizer_v2.onnx",
}
TOKENIZER = ("vocab.json", "merges.txt", "tokenizer_config.json")
SPEAKERS = "spk2info.pt"
NEEDED = (YAML, *PARTS.values(), f"{BLANK}/config.json", *(f"{BLANK}/{name}" for name in TOKENIZER))
NOISE_FRAMES = 15_000  # 300 s: the longest that the original can say


def is_release(path: Path) -> bool:
    """Whether this folder means to be a release of CosyVoice 2, whole or not."""
    return path.is_dir() and (path / YAML).is_file()


def open_release(path: Path) -> Checkpoint:
    """Open a release: tensors are called part.name, as `llm.speech_embedding.weight`, and `config` is ours, nested.

    Raises: FormatError naming the file if a part is missing, of another version or of other sizes than the yaml says;
    UnsafeError if the yaml asks for anything to be run.
    """
    folder = path if path.is_dir() else path.parent
    others = sorted(p.name for p in folder.glob("cosyvoice*.yaml") if p.name != YAML)
    if not (folder / YAML).exists():
        found = f"it has {', '.join(map(quote, others[:3]))}" if others else "it is no release of CosyVoice 2"
        raise FormatError(f"this folder has no {YAML}: {found}", where=folder, fix=RELEASE)
    missing = [name for name in NEEDED if not (folder / name).is_file()]
    if missing:
        many = f"{len(missing)} files are" if len(missing) > 1 else "a file is"
        raise FormatError(f"{many} missing from this release", where=folder, fix=RELEASE, details=missing)
    config = {"model_type": "cosyvoice2", **release_config(folder)}
    entries: dict[str, Entry] = {}
    files: list[SourceFile] = []
    try:
        for part, name in PARTS.items():
            checkpoint = _open(folder / name)
            files += checkpoint.files
            parts = canonical(part, checkpoint.entries)
            check_version(part, parts, folder / name)
            config |= sizes_of(part, checkpoint, parts)
            check_shapes(part, {key: entry.info for key, entry in parts.items()}, config, folder / name)
            entries |= {f"{part}.{key}": _renamed(entry, f"{part}.{key}") for key, entry in parts.items()}
    except FormatError:
        for file in files:
            file.close()
        raise
    return Checkpoint(str(path), "torch", entries, folder=folder, config=config, files=files)


def _open(path: Path) -> Checkpoint:
    try:
        return open_checkpoint(path)
    except FormatError as error:
        fix = error.fix or "the file is damaged: download it again"
        raise FormatError(error.what, where=error.where, fix=fix, details=error.details) from None


def _renamed(entry: Entry, name: str) -> Entry:
    return Entry(replace(entry.info, name=name), entry.read)


def extra_files(path: Path, config: dict[str, Any]) -> dict[str, bytes | dict[str, mx.array]]:
    """What a converted folder holds beside the weights: the tokenizer, the fixed noise and the speakers."""
    folder = path if path.is_dir() else path.parent
    files: dict[str, bytes | dict[str, mx.array]] = {name: _bytes(folder / BLANK / name) for name in TOKENIZER}
    files["noise.safetensors"] = {"flow": flow_noise(config["flow"]["n_mels"])}
    if (folder / SPEAKERS).exists():
        with open_checkpoint(folder / SPEAKERS) as checkpoint:
            files |= {f"speakers/{name}.safetensors": arrays for name, arrays in speakers(checkpoint, config).items()}
    return files


def flow_noise(n_mels: int) -> mx.array:
    """The noise that the original draws once, after seeding with 0, and starts every mel from.

    Shapes: -> [1, 15000, n_mels] float32. Source: CausalConditionalCFM, cosyvoice/flow/flow_matching.py@ace7c47.
    """
    return mx.contiguous(mx.array(TorchRandom(0).randn(1, n_mels, NOISE_FRAMES)).swapaxes(1, 2))


def _bytes(path: Path) -> bytes:
    with SourceFile(path) as file:
        return file.read(0, file.size)
