"""Check that the files of a release are parts of one version, of the sizes that its yaml gives."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ....checkpoint import Checkpoint, TensorInfo
from ....checkpoint.base import Entry
from ....checkpoint.files import quote
from ....errors import FormatError
from ....units import count_text
from ..versions import DISTINCTIVE_TENSORS, EVERY, Version
from .sizes import campplus_config, speech_tokenizer_config, vq_tokenizer_config


def release_fix(version: Version) -> str:
    """Return the advice for a release whose files do not belong together."""
    return f"take all files of the release from one place: {version.hub_id}"


def plain_names(part: str, entries: Mapping[str, Entry]) -> dict[str, Entry]:
    """Remove what only some exports have in their names: `generator.` of the vocoder, `encoders.` of the tokenizer."""
    extra = {"hift": "generator.", "speech_tokenizer": "encoders."}.get(part, "")
    return {(name.replace(extra, "") if extra else name): entry for name, entry in entries.items()}


def check_version(part: str, entries: Mapping[str, Entry], version: Version, where: Path) -> None:
    """Raises: FormatError if these are not the tensors of this version."""
    other = next((name for name, trait in DISTINCTIVE_TENSORS[part].items() if _has_trait(entries, trait)), None)
    if other in (version.name, EVERY):
        return
    what = f"this is the part of {other}, not of {version.name}" if other else f"not the {part} part"
    first = ", ".join(list(entries)[:3])
    raise FormatError(what, where=where, fix=release_fix(version), details=[f"it holds {first} …"])


def _has_trait(entries: Mapping[str, Entry], trait: str | tuple[str, int]) -> bool:
    name, size = (trait, None) if isinstance(trait, str) else trait
    return name in entries and size in (None, entries[name].info.shape[-1])


def onnx_sizes(part: str, checkpoint: Checkpoint, entries: Mapping[str, Entry], version: Version) -> dict[str, Any]:
    """Return the config of an ONNX part, which the yaml does not describe; empty for the other parts.

    Raises: FormatError if it is another network.
    """
    infos = {name: entry.info for name, entry in entries.items()}
    try:
        if part == "campplus":
            return {part: campplus_config(infos)}
        if part == "speech_tokenizer":
            read = vq_tokenizer_config if version.hears_speaker else speech_tokenizer_config
            return {part: read(infos, checkpoint.extra)}
    except (KeyError, ValueError, ZeroDivisionError) as error:
        what = f"this is not the network of {version.name} ({quote(error)} is missing or has another shape)"
        raise FormatError(what, where=checkpoint.source, fix=release_fix(version)) from None
    return {}


def check_shapes(
    part: str, infos: Mapping[str, TensorInfo], config: dict[str, Any], version: Version, where: Path
) -> None:
    """Compare the configuration's numbers with the file's shapes. Raises: FormatError listing every contradiction."""
    problems = []
    for name, shape in expected_shapes(part, config, version).items():
        info = infos.get(name)
        if info is None:
            problems.append(f"{name} is missing")
        elif info.shape != shape:
            problems.append(f"{name} is {list(info.shape)}, the configuration says {list(shape)}")
    if problems:
        count = count_text(len(problems), "tensor contradicts", "tensors contradict")
        what = f"{count} {version.yaml}" + (f" or {version.qwen_folder}/config.json" if version.qwen_folder else "")
        fix = "the file or the yaml is of another model; " + release_fix(version)
        raise FormatError(what, where=where, fix=fix, details=problems)


def expected_shapes(part: str, config: dict[str, Any], version: Version) -> dict[str, tuple[int, ...]]:
    """Return the shapes that fix a part's sizes: its first and last layers, and the last of each stack of layers."""
    if part == "llm" and version.hears_speaker:
        return _transformer_lm_shapes(config["lm"])
    if part == "llm":
        lm = config["lm"]
        width, head = lm["hidden_size"], lm["hidden_size"] // lm["num_attention_heads"]
        last, rows = f"llm.model.model.layers.{lm['num_hidden_layers'] - 1}", lm["speech_token_size"]
        rows += version.special.count
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
        if "hidden_size" in estimator:
            return _dit_flow_shapes(flow)
        width, channels = encoder["hidden_size"], estimator["channels"]
        last = f"encoder.encoders.{encoder['num_hidden_layers'] - 1}"
        mid = f"decoder.estimator.mid_blocks.{estimator['num_mid_blocks'] - 1}"
        inner = estimator["num_attention_heads"] * estimator["head_dim"]
        return {
            "input_embedding.weight": (flow["vocab_size"], width),
            "spk_embed_affine_layer.weight": (mels, flow["speaker_dim"]),
            f"{last}.feed_forward.w_2.weight": (width, encoder["intermediate_size"]),
            f"{mid}.1.{estimator['num_transformer_layers'] - 1}.attn1.to_q.weight": (inner, channels),
            "decoder.estimator.final_proj.weight": (mels, channels, 1),
        }
    if part == "hift":
        hift = config["hift"]
        stages = len(hift["upsample_rates"])
        return {
            "conv_pre.bias": (hift["base_channels"],),
            "conv_post.bias": (hift["n_fft"] + 2,),
            "f0_predictor.classifier.weight": (1, hift["f0_channels"]),
            "m_source.l_linear.weight": (1, hift["nb_harmonics"] + 1),
            f"ups.{stages - 1}.bias": (hift["base_channels"] >> stages,),
        }
    return {}


def _transformer_lm_shapes(lm: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """Return the same of version 1's language model."""
    width, encoder = lm["hidden_size"], lm["text_encoder"]
    last, last_of_text = (
        f"encoders.{sizes['num_hidden_layers'] - 1}.feed_forward.w_2.weight" for sizes in (lm, encoder)
    )
    heads = lm["num_attention_heads"]
    return {
        "text_embedding.weight": (lm["vocab_size"], lm["text_size"]),
        "speech_embedding.weight": (lm["speech_token_size"], width),
        "llm_decoder.weight": (lm["speech_token_size"] + 1, width),
        "spk_embed_affine_layer.weight": (width, lm["speaker_dim"]),
        "llm.encoders.0.self_attn.pos_bias_u": (heads, width // heads),
        f"llm.{last}": (width, lm["intermediate_size"]),
        f"text_encoder.{last_of_text}": (encoder["hidden_size"], encoder["intermediate_size"]),
    }


def _dit_flow_shapes(flow: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """Return the same of version 3's flow."""
    estimator, mels, channels = flow["estimator"], flow["n_mels"], flow["encoder"]["channels"]
    width = estimator["hidden_size"]
    last = f"decoder.estimator.transformer_blocks.{estimator['num_hidden_layers'] - 1}"
    return {
        "input_embedding.weight": (flow["vocab_size"], mels),
        "spk_embed_affine_layer.weight": (mels, flow["speaker_dim"]),
        "pre_lookahead_layer.conv1.weight": (channels, mels, flow["encoder"]["lookahead"] + 1),
        f"{last}.attn.to_q.weight": (estimator["num_attention_heads"] * estimator["head_dim"], width),
        f"{last}.ff.ff.2.weight": (width, width * estimator["ff_mult"]),
        "decoder.estimator.proj_out.weight": (mels, width),
    }
