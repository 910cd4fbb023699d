"""Open a checkpoint of F5-TTS or E2-TTS in any layout that it is saved in, and say which model it is.

Sizes come from the tensors. What they do not say comes from a .yaml beside the checkpoint, as the original's
f5_tts/configs, or from the names of the file and its folder.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np

from ...backend.rope import rotary_frequencies
from ...checkpoint import Checkpoint, open_checkpoint
from ...checkpoint.base import Entry
from ...checkpoint.files import SourceFile, quote
from ...checkpoint.packaged import find
from ...checkpoint.yaml_safe import read_yaml
from ...errors import FormatError, MachineError
from ...units import count_text
from ...weights import is_converted, load_model
from .config import HEAD_DIM, N_MELS, THETA, VARIANTS, Config
from .model import Model
from .vocab import read_vocab
from .weights import WEIGHTS

VOCAB = "vocab.txt"
PACKAGED_ENTRIES = 2545  # of the vocabulary in the package f5-tts, which the original takes where none is named
MAX_VOCAB_BYTES = 1 << 24
_BYTES = 256  # ids of the byte tokenizer, which has no vocab.txt
_SUFFIXES = (".safetensors", ".pt", ".pth", ".bin")
_EMA, _ONLINE = "ema_model_state_dict.", "model_state_dict."
_PREFIXES = (_EMA, _ONLINE, "ema_model.", "module.", "_orig_mod.")
_COUNTERS = frozenset({"initted", "step", "update"})
_NAME = re.compile(r"(?:f5|e2)[-_ ]?tts[-_ ](?:v(\d)[-_ ])?(base|small|custom)", re.IGNORECASE)
_BIGVGAN = (
    "its mel is BigVGAN's, for a vocoder of 67 times the work of Vocos, which is not ported; "
    "the models with Vocos (F5TTS_Base, F5TTS_v1_Base) are"
)


def is_release(path: Path) -> bool:
    """Return whether a folder holds the release's folders, such as F5TTS_v1_Base, and no checkpoint itself."""
    return path.is_dir() and not is_converted(path) and bool(_release_folders(path))


def _release_folders(path: Path) -> list[Path]:
    if any(file.suffix in _SUFFIXES for file in path.iterdir()):
        return []
    folders = (folder for folder in sorted(path.iterdir()) if folder.is_dir() and _NAME.match(folder.name))
    return [folder for folder in folders if any(file.suffix in _SUFFIXES for file in folder.iterdir())]


def find_folder(path: Path) -> Path:
    """Return the folder or file that holds the checkpoint: `path`, or the one folder of a release in it.

    Raises: FormatError where there are several.
    """
    folders = _release_folders(path) if path.is_dir() and not is_converted(path) else []
    if len(folders) > 1:
        names = [quote(folder.name) for folder in folders]
        raise FormatError(f"{len(folders)} models in one folder", where=path, fix="name one of them", details=names)
    return folders[0] if folders else path


def open_release(path: Path) -> Checkpoint:
    """Open a checkpoint under the names of the original's CFM, with the sizes as its `config`.

    Where there are weights of the moving average they are taken, as the original does.
    Raises: FormatError for what is no F5-TTS or E2-TTS, for BigVGAN's, and where vocab.txt does not fit the tensors.
    """
    path = find_folder(path)
    checkpoint = open_checkpoint(path)
    try:
        plain_names(checkpoint)
        shapes = {name: info.shape for name, info in checkpoint.infos().items()}
        sizes = sizes_of(shapes, checkpoint.source)
        settings = _settings(path, sizes)
        checkpoint.config = {"model_type": "f5-tts", **sizes, **settings}
        _check_rotary(checkpoint)
        _check_vocab(path, checkpoint.config)
        if vocab_file(path) is None and sizes["vocab_size"] != _BYTES:
            checkpoint.notes.append(f"there is no {VOCAB} beside it; that of the package f5-tts is taken")
    except FormatError:
        checkpoint.close()
        raise
    return checkpoint


def plain_names(checkpoint: Checkpoint) -> None:
    """Choose the weights, take the prefixes off their names, and leave out what training and mel modules save."""
    names = checkpoint.names()
    groups = [prefix for prefix in (_EMA, _ONLINE) if any(name.startswith(prefix) for name in names)]
    entries: dict[str, Entry] = {}
    for name, entry in checkpoint.entries.items():
        if groups and not name.startswith(groups[0]):
            continue
        for prefix in _PREFIXES:
            name = name.removeprefix(prefix)
        if name in _COUNTERS or name.startswith("mel_spec.") or name.endswith(".freqs_cis"):
            continue
        entries[name] = Entry(replace(entry.info, name=name), entry.read)
    if n_left := len(names) - len(entries):
        what = "the moving average of the weights is" if groups[:1] == [_EMA] and len(groups) > 1 else "the weights are"
        left = count_text(n_left, "tensor")
        checkpoint.notes.append(f"{what} taken, {left} of training and of the mel left out")
    checkpoint.entries = entries


def sizes_of(shapes: Mapping[str, tuple[int, ...]], where: str) -> dict[str, Any]:
    """Return the sizes that the tensors' shapes give.

    Raises: FormatError for tensors that are not of an F5-TTS or E2-TTS.
    """
    blocks, layers = "transformer.transformer_blocks", "transformer.layers"
    is_dit = f"{blocks}.0.attn.to_q.weight" in shapes
    part, attention, ff = (blocks, "attn", "ff") if is_dit else (layers, "2", "4")
    if f"{blocks}.0.attn_norm_c.linear.weight" in shapes:
        raise FormatError("an MMDiT, of which there are no published weights, is not ported", where=where)
    try:
        hidden_size, n_inputs = shapes["transformer.input_embed.proj.weight"]
        n_mels, _ = shapes["transformer.proj_out.weight"]
        rows, text_size = shapes["transformer.text_embed.text_embed.weight"]
        inner, _ = shapes[f"{part}.0.{attention}.to_q.weight"]
        intermediate_size, _ = shapes[f"{part}.0.{ff}.ff.0.0.weight"]
    except (KeyError, ValueError):
        raise FormatError("not a checkpoint of F5-TTS or E2-TTS", where=where) from None
    if n_mels != N_MELS or n_inputs != 2 * n_mels + text_size:
        raise FormatError(f"a model for mels of {n_mels} bands, not {N_MELS}", where=where)
    depth = _count(shapes, f"{part}.{{}}.{attention}.to_q.weight")
    sizes: dict[str, Any] = {
        "backbone": "DiT" if is_dit else "UNetT",
        "hidden_size": hidden_size,
        "num_hidden_layers": depth,
        "num_attention_heads": max(inner // HEAD_DIM, 1),
        "intermediate_size": intermediate_size,
        "text_hidden_size": text_size,
        "num_text_layers": _count(shapes, "transformer.text_embed.text_blocks.{}.dwconv.weight"),
        "vocab_size": rows - 1,
        "n_mels": n_mels,
        "qk_norm": f"{part}.0.{attention}.q_norm.weight" in shapes,
        "long_skip_connection": "transformer.long_skip_connection.weight" in shapes,
    }
    if not is_dit:
        sizes |= {"variant": "v0", "text_mask_padding": False, "rotates": "first"}
    return sizes


def _count(shapes: Mapping[str, tuple[int, ...]], name: str) -> int:
    number = 0
    while name.format(number) in shapes:
        number += 1
    return number


def _settings(path: Path, sizes: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the tensors do not say: from a yaml, else from names. variant is None where nothing says it."""
    folder, names = (path, (path.name,)) if path.is_dir() else (path.parent, (path.stem, path.parent.name))
    if any("bigvgan" in name.lower() for name in names):
        raise FormatError(_BIGVGAN, where=path)
    yaml = _yaml(folder)
    if yaml is not None:
        return _settings_of_yaml(*yaml, sizes)
    if sizes["backbone"] == "UNetT":
        return {}
    for name in names:
        if match := _NAME.search(name):
            return VARIANTS["v1" if match[1] == "1" else "v0"]
    return {"variant": None}


def _yaml(folder: Path) -> tuple[Path, dict[str, Any]] | None:
    """Return the one yaml in the folder that describes a model of the original's."""
    models = []
    for file in sorted([*folder.glob("*.yaml"), *folder.glob("*.yml")]):
        model = read_yaml(file).get("model")
        if isinstance(model, dict) and isinstance(model.get("arch"), dict):
            models.append((file, model))
    if len(models) > 1:
        names = [quote(file.name) for file, _ in models]
        raise FormatError(f"{len(models)} yaml files describe a model", where=folder, fix="keep one", details=names)
    return models[0] if models else None


def _settings_of_yaml(file: Path, model: dict[str, Any], sizes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a yaml of the original's, whose sizes must be the tensors'.

    Raises: FormatError for another model's yaml, and for settings that are not ported.
    """
    arch, mel = model["arch"], model.get("mel_spec")
    if isinstance(mel, dict) and mel.get("mel_spec_type", "vocos") == "bigvgan":
        raise FormatError(_BIGVGAN, where=file)
    is_dit = sizes["backbone"] == "DiT"
    own = {
        "dim": sizes["hidden_size"],
        "depth": sizes["num_hidden_layers"],
        "heads": sizes["num_attention_heads"],
        "text_dim": sizes["text_hidden_size"],
        "conv_layers": sizes["num_text_layers"],
    }
    problems = [f"{key} is {arch[key]!r:.40}, of the tensors {value}" for key, value in own.items()
                if arch.get(key, value) != value]  # fmt: skip
    if model.get("backbone", sizes["backbone"]) != sizes["backbone"]:
        problems.append(f"backbone is {quote(model['backbone'])}, of the tensors {sizes['backbone']}")
    heads = arch.get("pe_attn_head")
    if heads not in (None, 1):
        problems.append(f"pe_attn_head is {heads!r:.40}; supported: 1, null")
    if problems:
        raise FormatError("this yaml does not describe the checkpoint", where=file, details=problems)
    settings: dict[str, Any] = {
        "text_mask_padding": arch.get("text_mask_padding", True) if is_dit else False,
        "rotates": "all" if heads is None else "first",
    }
    if is_dit:
        settings["text_average_upsampling"] = arch.get("text_embedding_average_upsampling", False)
    else:
        settings["skip_connect_type"] = arch.get("skip_connect_type", "concat")
    known = (name for name, values in VARIANTS.items() if all(settings.get(key, value) == value
             for key, value in values.items() if key != "variant"))  # fmt: skip
    tokenizer = model.get("tokenizer", "pinyin")
    return {**settings, "variant": next(known, "custom"), "tokenizer": tokenizer}


def _check_rotary(checkpoint: Checkpoint) -> None:
    """Raises: FormatError where the file's rotary frequencies are not those that are computed, but for rounding."""
    name = "transformer.rotary_embed.inv_freq"
    if name not in checkpoint.entries:
        return
    own = rotary_frequencies(HEAD_DIM, THETA)
    theirs = np.array(checkpoint[name].astype(mx.float32))
    if theirs.shape != own.shape or not np.allclose(theirs, own, rtol=0.01, atol=0):
        raise FormatError("its rotary frequencies are not those of the original", where=checkpoint.source)


def vocab_file(path: Path) -> Path | None:
    """Return the vocab.txt beside a checkpoint, or None."""
    path = find_folder(path)
    file = (path if path.is_dir() else path.parent) / VOCAB
    return file if file.is_file() else None


def read_vocab_bytes(path: Path, size: int) -> bytes | None:
    """Return what is in the vocab.txt beside a checkpoint or in a converted folder.

    Where there is none, that of the package f5-tts is taken for a table of its `size`, and none for the byte tokenizer.
    Raises: FormatError where there is none to take.
    """
    file = vocab_file(path)
    if file is None:
        if size == _BYTES:
            return None
        file = _packaged_vocab(path, size)
    with SourceFile(file) as source:
        if source.size > MAX_VOCAB_BYTES:
            raise FormatError(f"{source.size} bytes of vocabulary, at most {MAX_VOCAB_BYTES} are read", where=file)
        return source.read(0, source.size)


def _packaged_vocab(path: Path, size: int) -> Path:
    what, fix = (
        f"there is no {VOCAB} beside the model, whose table has {size} entries",
        "put the one of its release there",
    )
    if size != PACKAGED_ENTRIES:
        raise FormatError(what, where=path, fix=fix)
    try:
        folder = find("f5-vocab")
    except MachineError as error:
        raise FormatError(what, where=path, fix=f"{fix}, or {error.fix}, which has it") from error
    return folder / VOCAB


def _check_vocab(path: Path, config: Mapping[str, Any]) -> None:
    """Compare vocab.txt with the table of the text. Raises: FormatError if it is missing or of another model."""
    size = config["vocab_size"]
    data = read_vocab_bytes(path, size)
    if data is None:
        return
    n_entries = len(read_vocab(data, VOCAB))
    if n_entries != size:
        raise FormatError(
            f"{VOCAB} has {n_entries} entries, the model's table {size} (and one for the filler)",
            where=path,
            fix="it is another model's, an entry is there twice, or lines were cut off: "
            "give the one that the model was trained with",
        )


def extra_files(path: Path, config: Mapping[str, Any]) -> dict[str, bytes]:
    """Return what a converted folder holds beside the weights: vocab.txt, but for the byte tokenizer."""
    data = read_vocab_bytes(path, config["vocab_size"])
    return {} if data is None else {VOCAB: data}


def load_networks(path: Path, dequantize: bool | None = None) -> tuple[Model, bytes | None]:
    """Load the model from a converted folder or a release, and its vocab.txt; None for the byte tokenizer."""
    model, _ = load_model(
        path,
        lambda config: Model(Config.from_dict(config)),
        sizes=Config.from_dict,
        weight_map=WEIGHTS,
        open_release=open_release,
        dequantize=dequantize,
    )
    return model, read_vocab_bytes(path, model.config.vocab_size)
