"""Whether the parts of a release are those of CosyVoice 2, and of the sizes that its yaml says."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ....checkpoint import Checkpoint, TensorInfo
from ....checkpoint.base import Entry
from ....checkpoint.files import quote
from ....errors import FormatError
from .sizes import campplus_config, speech_tokenizer_config
from .v2 import BLANK, YAML

RELEASE = "take all files of the release from one place: FunAudioLLM/CosyVoice2-0.5B"


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
