"""Tiny language models as files: of transformers with a tokenizer of 59 words, and as GGUF."""

import json
import struct
from pathlib import Path

import numpy as np
import pytest
from checkpoint.test_gguf import entry, gguf, tensor, text

WORDS = [f"w{number:02}" for number in range(59)]
TEMPLATE = (
    "{% for m in messages %}{{ {'system': 'w06', 'user': 'w03', 'assistant': 'w04'}[m['role']] }} {{ m['content'] }} "
    "{% endfor %}w05"
)
GGUF_NAMES = {
    "model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output",
    "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm", "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm",
    "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
}  # fmt: skip


def add_tokenizer(folder: Path, **settings) -> Path:
    """Put a tokenizer beside a model, whose words are w00 to w58, with a chat template; w02 ends a text."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    tokenizer = Tokenizer(models.WordLevel({word: n for n, word in enumerate(WORDS)}, unk_token="w00"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never")
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.decoder = decoders.WordPiece(prefix="##", cleanup=False)
    tokenizer.save(str(folder / "tokenizer.json"))
    content = {"eos_token": "w02", "chat_template": TEMPLATE, **settings}
    (folder / "tokenizer_config.json").write_text(json.dumps(content))
    return folder


def number(key: str, value) -> bytes:
    return (
        entry(key, 6, struct.pack("<f", value)) if isinstance(value, float) else entry(key, 4, struct.pack("<I", value))
    )


def strings(key: str, values: list[str]) -> bytes:
    return entry(key, 9, struct.pack("<IQ", 8, len(values)) + b"".join(map(text, values)))


def permuted(array: np.ndarray, heads: int) -> np.ndarray:
    """llama.cpp's order of the rows of q and k (convert_hf_to_gguf.py, LlamaModel.permute)."""
    return array.reshape(heads, 2, array.shape[0] // heads // 2, *array.shape[1:]).swapaxes(1, 2).reshape(array.shape)


def llama_gguf(folder: Path, state: dict[str, np.ndarray], config: dict, keys=(), *, architecture="llama") -> Path:
    """A GGUF file of a tiny model in float32, its tokenizer of the words in llama.cpp's spelling."""
    tensors, data = [], b""
    heads = {"attn_q": config["num_attention_heads"], "attn_k": config["num_key_value_heads"]}
    for name, array in state.items():
        path, _, end = name.rpartition(".")
        parts = path.split(".")
        is_layer = path.startswith("model.layers.")
        part = GGUF_NAMES[".".join(parts[3:]) if is_layer else path]
        array = permuted(array, heads[part]) if architecture == "llama" and part in heads else array
        tensors.append(
            tensor(f"blk.{parts[2]}.{part}.{end}" if is_layer else f"{part}.{end}", array.shape, 0, len(data))
        )
        data += array.tobytes()
        data += bytes(-len(data) % 32)
    sizes = {
        "context_length": 128, "embedding_length": config["hidden_size"], "block_count": config["num_hidden_layers"],
        "feed_forward_length": config["intermediate_size"], "attention.head_count": config["num_attention_heads"],
        "attention.head_count_kv": config["num_key_value_heads"], "attention.layer_norm_rms_epsilon": 1e-5,
        "rope.freq_base": 10000.0,
    }  # fmt: skip
    alphabet = [chr(code) for code in range(ord("a"), ord("z") + 1)] + ["Ġ"]
    vocab = ["<s>", "<e>", *alphabet, "th", "the", "Ġthe"]
    vocab += [f"<unused{n}>" for n in range(59 - len(vocab))]
    header = [
        entry("general.architecture", 8, text(architecture)),
        *(number(f"{architecture}.{key}", value) for key, value in sizes.items()),
        entry("tokenizer.ggml.model", 8, text("gpt2")), entry("tokenizer.ggml.pre", 8, text("smollm")),
        strings("tokenizer.ggml.tokens", vocab), strings("tokenizer.ggml.merges", ["t h", "th e", "Ġ the"]),
        number("tokenizer.ggml.bos_token_id", 0), number("tokenizer.ggml.eos_token_id", 1),
        entry("tokenizer.chat_template", 8, text("{{ messages[0]['content'] }}")),
        *keys,
    ]  # fmt: skip
    return gguf(folder, header, tensors, data)


@pytest.fixture(autouse=True)
def unpatched():
    """Loading a pipeline puts the kernels under MLX for the whole process; other tests want MLX's own."""
    from pytorch_to_mlx import backend

    yield
    backend.unpatch_mlx()
