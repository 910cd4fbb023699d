"""`benchmark decoding`: seconds for a token of a language model by mlx-lm, on the kernels (patch_mlx).

Qwen2 in the sizes of its 0.5B (random weights, the same on both sides) beside transformers in PyTorch; and SmolLM2 by
mlx-lm's own generation with and without the kernels, each in a process of its own.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from statistics import median
from typing import Any

import numpy as np

from .. import backend
from ..errors import CheckError, MissingExtraError
from ..progress import note, track
from .measurement import Measurement
from .result import Result

QWEN2 = {
    "hidden_size": 896, "num_hidden_layers": 24, "intermediate_size": 4864, "num_attention_heads": 14,
    "num_key_value_heads": 2, "vocab_size": 151936, "rms_norm_eps": 1e-6, "rope_theta": 1e6,
    "tie_word_embeddings": True,
}  # fmt: skip
PROMPT, TOKENS = 32, 16
Step = Callable[[list[int]], int]  # token ids in, the likeliest next one out; it remembers what it was given
SMOL_NAMES = {
    "token_embd": "model.embed_tokens", "output_norm": "model.norm", "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm", "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj", "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
}  # fmt: skip


def run(*, against_torch: bool = True, rounds: int = 3) -> Result:
    if find_spec("mlx_lm") is None:
        raise MissingExtraError("mlx-lm", "llm", needed_for="measuring language models")
    backend.patch_mlx()
    try:
        measurements = _qwen2(against_torch, rounds)
    finally:
        backend.unpatch_mlx()
    note("SmolLM2 by mlx-lm, with and without the kernels")
    for name in ("plain", "patched"):
        took = _in_a_process(name)
        how = "with patch_mlx" if name == "patched" else "MLX's own"
        measurements.append(Measurement("SmolLM2-135M 4-bit", f"token, {how}", "s", took))
    threads = {"ours": backend.describe(measure=False).threads}
    if against_torch:
        from . import torch_side

        threads["torch"] = torch_side.threads()
    command = " ".join(["pytorch-to-mlx", *sys.argv[1:]])
    return Result(
        "decoding", "random (Qwen2), packaged:smollm2-135m-instruct-q4", command, tuple(measurements), rounds, threads
    )


def _qwen2(against_torch: bool, rounds: int) -> list[Measurement]:
    import mlx.core as mx
    from mlx.utils import tree_flatten

    prompt = np.random.default_rng(0).integers(0, QWEN2["vocab_size"], PROMPT).tolist()
    note("building Qwen2 in float32, 8 and 4 bits")
    model = _model("qwen2", QWEN2)
    weights: list[Any] = list(tree_flatten(model.parameters()))
    starts = {"float32": lambda: _mlx_step(model)}
    for bits in (8, 4):
        small = _model("qwen2", QWEN2, weights, bits)
        starts[f"{bits}-bit"] = lambda small=small: _mlx_step(small)
    if against_torch:
        from . import torch_side

        theirs = torch_side.qwen2(QWEN2, {name: np.array(value) for name, value in weights})
        starts["torch"] = lambda: theirs()
    mx.clear_cache()
    spent: dict[str, list[float]] = {name: [] for name in starts}
    said: dict[str, list[int]] = {}
    for _ in track(range(rounds), "rounds", rounds):
        for name, start in starts.items():
            time.sleep(0.05)  # the other side's threads fall asleep
            step = start()
            tokens = [step(prompt)]
            for _ in range(TOKENS):
                began = time.perf_counter()
                tokens.append(step(tokens[-1:]))
                spent[name].append(time.perf_counter() - began)
            said[name] = tokens
    took = {name: median(all_of_it) for name, all_of_it in spent.items()}
    torch_s = took.pop("torch", None)
    found = [Measurement(f"Qwen2-0.5B {name}", "token", "s", seconds, torch_s) for name, seconds in took.items()]
    if torch_s:
        same = sum(a == b for a, b in zip(said["float32"], said["torch"], strict=True))
        found.append(Measurement("Qwen2-0.5B float32", f"the same of {TOKENS + 1} tokens", "", same))
    return found


def _model(kind: str, config: dict[str, Any], weights: list | None = None, bits: int = 0, group_size: int = 64) -> Any:
    import importlib

    import mlx.core as mx
    import mlx.nn as nn

    module = importlib.import_module(f"mlx_lm.models.{kind}")
    mx.random.seed(0)
    model = module.Model(module.ModelArgs.from_dict({"model_type": kind, **config}))
    if weights is not None:
        model.load_weights(weights)
    if bits:
        nn.quantize(model, group_size=group_size, bits=bits)
    mx.eval(model.parameters())
    return model


def _mlx_step(model: Any) -> Step:
    import mlx.core as mx
    from mlx_lm.models.cache import make_prompt_cache

    cache = make_prompt_cache(model)
    return lambda ids: np.array(model(mx.array([ids]), cache=cache)[0, -1]).argmax().item()


def _in_a_process(how: str) -> float:
    done = subprocess.run([sys.executable, "-m", __name__, how], capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise CheckError(f"SmolLM2 did not run in a process of its own (exit {done.returncode}): {last}")
    return json.loads(done.stdout.splitlines()[-1])


def _smol_name(name: str) -> str:
    """llama.cpp's name as mlx-lm has it: blk.0.attn_q.weight -> model.layers.0.self_attn.q_proj.weight."""
    *block, part, end = name.split(".")
    return ".".join(["model.layers", block[1], SMOL_NAMES[part], end] if block else [SMOL_NAMES[part], end])


def smollm2(how: str, tokens: int = 48) -> float:
    """Median seconds for a token of mlx-lm's own generation."""
    import mlx.core as mx

    if how == "patched":
        backend.patch_mlx()
    from mlx_lm.generate import generate_step

    from ..checkpoint import locate, open_checkpoint

    with open_checkpoint(locate("packaged:smollm2-135m-instruct-q4").path / "model.gguf") as checkpoint:
        weights = [(_smol_name(name), checkpoint[name]) for name in checkpoint.names()]
    config = {
        "hidden_size": 576, "num_hidden_layers": 30, "intermediate_size": 1536, "num_attention_heads": 9,
        "num_key_value_heads": 3, "vocab_size": 49152, "rms_norm_eps": 1e-5, "rope_theta": 1e5,
        "rope_traditional": True, "tie_word_embeddings": True,
    }  # fmt: skip
    model = _model("llama", config, weights, bits=4, group_size=32)
    prompt = mx.array(np.random.default_rng(0).integers(0, 49152, PROMPT))
    times = []
    for _ in generate_step(prompt, model, max_tokens=tokens):
        times.append(time.perf_counter())
    return median(np.diff(times).tolist())


if __name__ == "__main__":
    sys.stdout.write(f"{json.dumps(smollm2(sys.argv[1]))}\n")
