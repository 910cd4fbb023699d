"""The release of CosyVoice 2: a folder of several files, read as one checkpoint; nothing in it is executed."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlx.core as mx

from ...audio.torch_random import TorchRandom
from ...checkpoint import Checkpoint, TensorInfo, open_checkpoint
from ...checkpoint.base import Entry
from ...checkpoint.files import SourceFile, quote
from ...errors import FormatError
from .release_config import BLANK, YAML, campplus_config, release_config, speech_tokenizer_config

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
RELEASE = "take all files of the release from one place: FunAudioLLM/CosyVoice2-0.5B"
NOISE_FRAMES = 15_000  # 300 s: the longest that the original can say

# By these names each part shows which version it is of; the first that is there counts.
VERSIONS: dict[str, dict[str, str]] = {
    "llm": {
        "CosyVoice 1": "text_embedding.weight",
        "CosyVoice 2": "llm_embedding.weight",
        "CosyVoice 3": "speech_embedding.weight",
    },
    "flow": {
        "CosyVoice 1": "length_regulator.model.0.weight",
        "CosyVoice 2": "encoder.up_layer.conv.weight",
        "CosyVoice 3": "decoder.estimator.transformer_blocks.0.attn.to_q.weight",
    },
    "hift": {"CosyVoice 2": "m_source.l_linear.weight"},
    "campplus": {"CosyVoice 2": "xvector.dense.linear.weight"},
    "speech_tokenizer": {"CosyVoice 2": "quantizer.project_in.bias"},
}


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


def canonical(part: str, entries: Mapping[str, Entry]) -> dict[str, Entry]:
    """Names without the `generator.` that training leaves in the vocoder's."""
    return {(name.replace("generator.", "") if part == "hift" else name): entry for name, entry in entries.items()}


def check_version(part: str, entries: Mapping[str, Entry], where: Path) -> None:
    """Raises: FormatError if these are not the tensors of CosyVoice 2."""
    found = next((version for version, name in VERSIONS[part].items() if name in entries), "something else")
    if found != "CosyVoice 2":
        what = f"this is the part of {found}, not of CosyVoice 2" if found[-1].isdigit() else f"this is no {part} part"
        near = ", ".join(list(entries)[:3])
        raise FormatError(what, where=where, fix=RELEASE, details=[f"it holds {near} …"])


def sizes_of(part: str, checkpoint: Checkpoint, entries: Mapping[str, Entry]) -> dict[str, Any]:
    """The config of a part that the yaml says nothing about."""
    infos = {name: entry.info for name, entry in entries.items()}
    try:
        if part == "campplus":
            return {part: campplus_config(infos)}
        if part == "speech_tokenizer":
            return {part: speech_tokenizer_config(infos, checkpoint.extra)}
    except (KeyError, ValueError, ZeroDivisionError) as error:
        what = f"this is not the network of CosyVoice 2 ({quote(error)} is missing or has another shape)"
        raise FormatError(what, where=checkpoint.source, fix=RELEASE) from None
    return {}


def check_shapes(part: str, infos: Mapping[str, TensorInfo], config: dict[str, Any], where: Path) -> None:
    """The yaml's numbers against the file's shapes. Raises: FormatError listing every tensor that contradicts."""
    problems = []
    for name, wanted in expected_shapes(part, config).items():
        info = infos.get(name)
        if info is None:
            problems.append(f"{name} is missing")
        elif info.shape != wanted:
            problems.append(f"{name} is {list(info.shape)}, the configuration says {list(wanted)}")
    if problems:
        what = f"{len(problems)} tensors contradict {YAML} or {BLANK}/config.json"
        raise FormatError(
            what, where=where, fix="the file or the yaml is of another model; " + RELEASE, details=problems
        )


def expected_shapes(part: str, config: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """The shapes that fix a part's sizes: its first and last layers, and the last of each stack of layers."""
    if part == "llm":
        lm = config["lm"]
        width, head = lm["hidden_size"], lm["hidden_size"] // lm["num_attention_heads"]
        last, rows = f"llm.model.model.layers.{lm['num_hidden_layers'] - 1}", lm["speech_token_size"] + 3
        return {
            "llm.model.model.embed_tokens.weight": (lm["vocab_size"], width),
            "speech_embedding.weight": (rows, width),
            "llm_decoder.weight": (rows, width),
            f"{last}.self_attn.k_proj.weight": (lm["num_key_value_heads"] * head, width),
            f"{last}.mlp.down_proj.weight": (width, lm["intermediate_size"]),
        }
    if part == "flow":
        flow = config["flow"]
        encoder, estimator, mels = flow["encoder"], flow["estimator"], flow["n_mels"]
        width, channels = encoder["hidden_size"], estimator["channels"]
        mid = f"decoder.estimator.mid_blocks.{estimator['num_mid_blocks'] - 1}"
        inner = estimator["num_attention_heads"] * estimator["head_dim"]
        return {
            "input_embedding.weight": (flow["vocab_size"], width),
            "spk_embed_affine_layer.weight": (mels, flow["speaker_dim"]),
            f"encoder.encoders.{encoder['num_hidden_layers'] - 1}.feed_forward.w_2.weight": (
                width,
                encoder["intermediate_size"],
            ),
            f"{mid}.1.{estimator['num_transformer_layers'] - 1}.attn1.to_q.weight": (inner, channels),
            "decoder.estimator.final_proj.weight": (mels, channels, 1),
        }
    if part == "hift":
        hift = config["hift"]
        return {
            "conv_pre.bias": (hift["base_channels"],),
            "conv_post.bias": (hift["n_fft"] + 2,),
            "f0_predictor.classifier.weight": (1, hift["f0_channels"]),
            "m_source.l_linear.weight": (1, hift["nb_harmonics"] + 1),
            f"ups.{len(hift['upsample_rates']) - 1}.bias": (hift["base_channels"] >> len(hift["upsample_rates"]),),
        }
    return {}


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


# A saved speaker's entries in spk2info.pt -> ours; the language model of version 2 takes no embedding.
_SPEAKER: dict[str, tuple[str, mx.Dtype, Callable[[mx.array], mx.array]]] = {
    "embedding": ("embedding", mx.float32, lambda a: a.reshape(1, -1)),
    "flow_embedding": ("embedding", mx.float32, lambda a: a.reshape(1, -1)),
    "prompt_text": ("prompt_text", mx.int32, lambda a: a.reshape(-1)),
    "flow_prompt_speech_token": ("speech_tokens", mx.int32, lambda a: a.reshape(-1)),
    "prompt_speech_feat": ("mel", mx.float32, lambda a: a.reshape(1, *a.shape[-2:])),
}
_SAID_TWICE = ("llm_embedding", "llm_prompt_speech_token")


def speakers(checkpoint: Checkpoint, config: dict[str, Any]) -> dict[str, dict[str, mx.array]]:
    """The speakers of spk2info.pt by name: `embedding` [1, 192], and of a saved prompt `prompt_text` and
    `speech_tokens` [L] int32 and `mel` [1, T, n_mels].

    Raises: FormatError listing the entries that are no speaker's or do not fit the model.
    """
    found: dict[str, dict[str, mx.array]] = {}
    problems = []
    for key in checkpoint.names():
        name, _, field = key.rpartition(".")
        if field in _SAID_TWICE or field.endswith("_len"):
            continue
        if field not in _SPEAKER or not name or name.startswith(".") or set(name) & set("/\\\0"):
            problems.append(f"{quote(key)} is no known entry of a speaker with a usable name")
            continue
        ours, dtype, shaped = _SPEAKER[field]
        array = checkpoint[key]
        if array.ndim < (2 if ours == "mel" else 1) or not array.size:
            problems.append(f"{quote(key)} has shape {list(array.shape)}")
            continue
        found.setdefault(name, {})[ours] = mx.contiguous(shaped(array).astype(dtype))
    for name, arrays in found.items():
        problems += [f"{quote(name)}: {problem}" for problem in speaker_problems(arrays, config)]
    if problems:
        where, fix = checkpoint.source, "save the speakers again with the original, or remove the file"
        raise FormatError(f"{len(problems)} entries cannot be used", where=where, fix=fix, details=problems)
    return found


def speaker_problems(arrays: Mapping[str, mx.array], config: dict[str, Any]) -> list[str]:
    """What is wrong with one speaker's arrays for a model of this config."""
    size, mels = config["flow"]["speaker_dim"], config["flow"]["n_mels"]
    if "embedding" not in arrays:
        return ["no embedding"]
    problems = []
    if arrays["embedding"].shape != (1, size):
        problems.append(f"the embedding has {arrays['embedding'].size} numbers, the model takes {size}")
    if "mel" in arrays and arrays["mel"].shape[2] != mels:
        problems.append(f"the mel has {arrays['mel'].shape[2]} bands, the model takes {mels}")
    limits = {"prompt_text": config["lm"]["vocab_size"], "speech_tokens": config["flow"]["vocab_size"]}
    for name, limit in limits.items():
        if name in arrays and not 0 <= int(arrays[name].min()) <= int(arrays[name].max()) < limit:
            problems.append(f"{name} has ids outside 0 … {limit - 1}")
    floats = [name for name in ("embedding", "mel") if name in arrays and not mx.isfinite(arrays[name]).all().item()]
    return problems + [f"{name} is not finite" for name in floats]


def _bytes(path: Path) -> bytes:
    with SourceFile(path) as file:
        return file.read(0, file.size)
