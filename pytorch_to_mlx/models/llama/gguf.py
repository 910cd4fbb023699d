"""A GGUF file's metadata and tensors as Hugging Face has them: sizes, names, and rows that llama.cpp reorders.

Source: llama.cpp's conversion (gguf-py/gguf/tensor_mapping.py, constants.py, convert_hf_to_gguf.py).
"""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import mlx.core as mx
import numpy as np

from ...checkpoint import Checkpoint
from ...checkpoint.base import Entry
from ...checkpoint.files import quote
from ...errors import FormatError

# GGUF's key without the architecture -> config.json's.
SIZES = {
    "context_length": "max_position_embeddings", "embedding_length": "hidden_size", "block_count": "num_hidden_layers",
    "feed_forward_length": "intermediate_size", "attention.head_count": "num_attention_heads",
    "attention.head_count_kv": "num_key_value_heads", "attention.layer_norm_rms_epsilon": "rms_norm_eps",
    "attention.key_length": "head_dim", "rope.freq_base": "rope_theta",
}  # fmt: skip
FRACTIONS = ("rms_norm_eps", "rope_theta")
# llama.cpp's names of tensors -> transformers'.
NAMES = {
    "token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head",
    "attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm", "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm", "attn_k_norm": "self_attn.k_norm", "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
}  # fmt: skip
GEMMA_NAMES = {
    "post_attention_norm": "post_attention_layernorm", "ffn_norm": "pre_feedforward_layernorm",
    "post_ffw_norm": "post_feedforward_layernorm",
}  # fmt: skip
# architecture -> (model_type, class in transformers)
ARCHITECTURES = {
    "llama": ("llama", "LlamaForCausalLM"),
    "qwen2": ("qwen2", "Qwen2ForCausalLM"),
    "qwen3": ("qwen3", "Qwen3ForCausalLM"),
    "gemma3": ("gemma3_text", "Gemma3ForCausalLM"),
}
FREQUENCIES = "rope_freqs.weight"  # factors of the rotary frequencies, of LLaMA 3.1 and later
LLAMA3 = {"low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}
GEMMA_27B_LAYERS = 62  # whose scale of attention is by the width of the model, not of a head


def rename_gguf(checkpoint: Checkpoint) -> None:
    """Turn an open GGUF file into a checkpoint of Hugging Face's names, with its sizes as `config`.

    Raises: FormatError for an architecture that is not ported, and for metadata that is missing or of the wrong kind.
    """
    architecture = checkpoint.extra.get("general.architecture")
    if not isinstance(architecture, str) or architecture not in ARCHITECTURES:
        raise FormatError(
            f"the GGUF architecture {quote(architecture)} is not ported",
            where=checkpoint.source,
            fix=f"ported: {', '.join(ARCHITECTURES)}; or give the original checkpoint",
        )
    config = read_sizes(checkpoint, architecture)
    heads = {"attn_q": config["num_attention_heads"], "attn_k": config["num_key_value_heads"]}
    is_gemma = architecture == "gemma3"
    entries = {}
    for name, entry in checkpoint.entries.items():
        if name == FREQUENCIES:
            continue
        own_name = _name(name, GEMMA_NAMES if is_gemma else {}, checkpoint.source)
        part = name.split(".")[-2]
        read = entry.read
        if architecture == "llama" and part in heads:
            _check_rows(entry.info.shape, heads[part], name, checkpoint.source)
            read = _unpermuted(read, heads[part])
        elif is_gemma and own_name.endswith("norm.weight"):
            read = _less_one(read)
        entries[own_name] = Entry(replace(entry.info, name=own_name), read)
    checkpoint.entries, checkpoint.config = entries, config


def _name(name: str, own: Mapping[str, str], where: str) -> str:
    """Return transformers' name: blk.0.attn_q.weight -> model.layers.0.self_attn.q_proj.weight."""
    names = {**NAMES, **own}
    parts = name.split(".")
    if len(parts) == 2 and parts[0] in ("token_embd", "output_norm", "output"):
        return f"{names[parts[0]]}.{parts[1]}"
    if len(parts) == 4 and parts[0] == "blk" and parts[1].isdigit() and parts[2] in names:
        return f"model.layers.{int(parts[1])}.{names[parts[2]]}.{parts[3]}"
    raise FormatError(f"the tensor {quote(name)} is part of no architecture that is ported", where=where)


def _check_rows(shape: tuple[int, ...], heads: int, name: str, where: str) -> None:
    if not shape or shape[0] % (2 * heads):
        raise FormatError(f"tensor {quote(name)} {list(shape)} is not for {heads} heads", where=where)


def _unpermuted(read: Any, heads: int) -> Any:
    """Undo llama.cpp's order of rows, in which the two halves that rotary positions pair stand side by side.

    Shapes: [heads * d, …] -> the same.
    """

    def undo() -> mx.array:
        array = read()
        halves = array.reshape(heads, array.shape[0] // heads // 2, 2, *array.shape[1:])
        return halves.swapaxes(1, 2).reshape(array.shape)

    return undo


def _less_one(read: Any) -> Any:
    """Undo llama.cpp's 1 + w of Gemma's norms."""
    return lambda: read() - 1


def read_sizes(checkpoint: Checkpoint, architecture: str) -> dict[str, Any]:
    """Return config.json as transformers would have written it.

    Raises: FormatError for what is missing or malformed.
    """
    extra, where = checkpoint.extra, checkpoint.source
    model_type, class_name = ARCHITECTURES[architecture]
    data = {ours: extra[f"{architecture}.{key}"] for key, ours in SIZES.items() if f"{architecture}.{key}" in extra}
    data = {key: _shortest(value) if isinstance(value, float) else value for key, value in data.items()}
    needed = ("hidden_size", "num_hidden_layers", "intermediate_size", "num_attention_heads", "rms_norm_eps")
    data.setdefault("num_key_value_heads", data.get("num_attention_heads"))
    problems = [
        f"{architecture}.{key} is missing" for key, ours in SIZES.items() if ours in needed and ours not in data
    ]
    problems += [
        f"{ours} is {quote(value)}, not a {'number' if ours in FRACTIONS else 'whole number'} above 0"
        for ours, value in data.items()
        if type(value) is not (float if ours in FRACTIONS else int) or not 0 < value < 2**31
    ]
    if "token_embd.weight" not in checkpoint.entries:
        problems.append("there is no token_embd.weight")
    if extra.get(f"{architecture}.expert_count"):
        problems.append("it has experts, which are not ported")
    if problems:
        raise FormatError("not a GGUF of a whole language model", where=where, details=problems)
    if "head_dim" not in data and architecture == "llama" and f"{architecture}.rope.dimension_count" in extra:
        data["head_dim"] = extra[f"{architecture}.rope.dimension_count"]
    config = {
        "model_type": model_type,
        "architectures": [class_name],
        **data,
        "vocab_size": checkpoint.entries["token_embd.weight"].info.shape[0],
        "tie_word_embeddings": "output.weight" not in checkpoint.entries,
        "attention_bias": "blk.0.attn_q.bias" in checkpoint.entries,
        **{
            f"{ours}_token_id": extra[f"tokenizer.ggml.{theirs}_token_id"]
            for ours, theirs in (("bos", "bos"), ("eos", "eos"), ("pad", "padding"))
            if type(extra.get(f"tokenizer.ggml.{theirs}_token_id")) is int
        },
    }
    if architecture == "gemma3":
        config |= _gemma(extra, data)
    else:
        config["hidden_act"] = "silu"
    if scaling := _scaling(checkpoint, architecture, config):
        config["rope_scaling"] = scaling
    return config


def _gemma(extra: Mapping[str, Any], data: Mapping[str, Any]) -> dict[str, Any]:
    """Return what llama.cpp knows of Gemma 3 without the file saying so."""
    head_dim = data.get("head_dim", 256)
    is_27b = data["num_hidden_layers"] == GEMMA_27B_LAYERS
    return {
        "hidden_activation": "gelu_pytorch_tanh",
        "head_dim": head_dim,
        "query_pre_attn_scalar": data["hidden_size"] // data["num_attention_heads"] if is_27b else head_dim,
        "rope_local_base_freq": 10_000.0,
        "sliding_window": extra.get("gemma3.attention.sliding_window", 512),
        "sliding_window_pattern": 6,
        "attention_bias": False,
    }


def _shortest(value: float) -> float:
    """Return the shortest number that is the same in float32: 1e-05 for 9.999999747378752e-06."""
    return float(str(np.float32(value)))


def _scaling(checkpoint: Checkpoint, architecture: str, config: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return rope_scaling. Raises: FormatError for a kind that is not ported."""
    extra, where = checkpoint.extra, checkpoint.source
    kind = extra.get(f"{architecture}.rope.scaling.type", "none")
    factor = extra.get(f"{architecture}.rope.scaling.factor")
    if FREQUENCIES in checkpoint.entries:
        return _llama3(checkpoint, config)
    if kind == "none" or factor in (None, 0, 1):
        return None
    is_number = type(factor) in (int, float)
    if kind == "linear" and is_number:
        return {"rope_type": "linear", "factor": _shortest(factor)}
    if kind == "yarn" and is_number:
        original = extra.get(f"{architecture}.rope.scaling.original_context_length")
        return {"rope_type": "yarn", "factor": _shortest(factor), "original_max_position_embeddings": original}
    raise FormatError(
        f"the rope scaling {quote(kind)} by {quote(factor)} is not ported",
        where=where,
        fix="ported: linear, yarn, llama3",
    )


def _llama3(checkpoint: Checkpoint, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the llama3 scaling whose factors of the frequencies the file holds.

    Raises: FormatError where they are those of no llama3 scaling.
    """
    factors = np.array(checkpoint[FREQUENCIES])
    half = len(factors)
    scaling = {"rope_type": "llama3", "factor": float(factors.max()), **LLAMA3}
    lengths = 2 * math.pi * config["rope_theta"] ** (np.arange(half) / half)
    low = scaling["original_max_position_embeddings"] / scaling["low_freq_factor"]
    high = scaling["original_max_position_embeddings"] / scaling["high_freq_factor"]
    smooth = (low / lengths - 1) / (scaling["high_freq_factor"] / scaling["low_freq_factor"] - 1)
    between = 1 / ((1 - smooth) / scaling["factor"] + smooth)
    expected = np.where(lengths < high, 1, np.where(lengths > low, scaling["factor"], between))
    if factors.shape != expected.shape or not np.allclose(factors, expected, rtol=1e-4):
        raise FormatError(
            f"the factors of {FREQUENCIES} are those of no known scaling",
            where=checkpoint.source,
            fix="give the original checkpoint",
        )
    return scaling
