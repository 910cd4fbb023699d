"""`benchmark decoding`: seconds for a token of a language model by mlx-lm, on the kernels (patch_mlx).

Qwen2 in the sizes of its 0.5B, random weights that are the same on both sides, beside transformers in PyTorch; and
SmolLM2 by mlx-lm's own generation with and without the kernels, each in a process of its own.
"""

import importlib
import json
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from statistics import median
from typing import Any

import numpy as np

from .. import backend
from ..errors import MissingExtraError
from ..progress import note, track
from .measure import REST_S
from .measurement import Measurement
from .process import run_module
from .result import Result

QWEN2 = {
    "hidden_size": 896, "num_hidden_layers": 24, "intermediate_size": 4864, "num_attention_heads": 14,
    "num_key_value_heads": 2, "vocab_size": 151936, "rms_norm_eps": 1e-6, "rope_theta": 1e6,
    "tie_word_embeddings": True,
}  # fmt: skip
N_PROMPT, N_TOKENS, N_SMOLLM2_TOKENS = 32, 16, 48
Step = Callable[[list[int]], int]
"""Token ids in, the likeliest next one out; it has a key-value cache of what it was given before."""


def run(*, against_torch: bool = True, rounds: int = 3) -> Result:
    """Measure both models; `against_torch` adds Qwen2 in PyTorch, measured interleaved with ours.

    Raises: MissingExtraError where mlx-lm is not installed.
    """
    if find_spec("mlx_lm") is None:
        raise MissingExtraError("mlx-lm", "llama", needed_for="measuring language models")
    backend.patch_mlx()
    try:
        measurements = _measure_qwen2(against_torch, rounds)
    finally:
        backend.unpatch_mlx()
    note("SmolLM2 by mlx-lm, with and without the kernels")
    for kernels, name in (("plain", "MLX's own"), ("patched", "with patch_mlx")):
        token_s = run_module(__name__, kernels, what="SmolLM2")
        measurements.append(Measurement("SmolLM2-135M 4-bit", f"token, {name}", "s", token_s))
    threads = {"ours": backend.describe(measure=False).threads}
    if against_torch:
        from . import torch_side

        threads["torch"] = torch_side.threads()
    command = " ".join(["pytorch-to-mlx", *sys.argv[1:]])
    weights = "random (Qwen2), packaged:smollm2-135m-instruct-q4"
    return Result("decoding", weights, command, tuple(measurements), rounds, threads)


def _measure_qwen2(against_torch: bool, rounds: int) -> list[Measurement]:
    import mlx.core as mx
    from mlx.utils import tree_flatten

    prompt = np.random.default_rng(0).integers(0, QWEN2["vocab_size"], N_PROMPT).tolist()
    note("building Qwen2 in float32, 8 and 4 bits")
    model = _build("qwen2", QWEN2)
    weights: list[Any] = list(tree_flatten(model.parameters()))
    starts: dict[str, Callable[[], Step]] = {"float32": lambda: _mlx_step(model)}
    for bits in (8, 4):
        quantized = _build("qwen2", QWEN2, weights, bits)
        starts[f"{bits}-bit"] = lambda quantized=quantized: _mlx_step(quantized)
    if against_torch:
        from . import torch_side

        starts["torch"] = torch_side.qwen2(QWEN2, {name: np.array(value) for name, value in weights})
    mx.clear_cache()
    seconds: dict[str, list[float]] = {name: [] for name in starts}
    tokens: dict[str, list[int]] = {}
    for _ in track(range(rounds), "rounds", rounds):
        for name, start in starts.items():
            time.sleep(REST_S)
            tokens[name] = _decode(start(), prompt, seconds[name])
    token_s = {name: median(samples) for name, samples in seconds.items()}
    torch_s = token_s.pop("torch", None)
    measurements = [Measurement(f"Qwen2-0.5B {name}", "token", "s", ours, torch_s) for name, ours in token_s.items()]
    if torch_s:
        n_equal = sum(a == b for a, b in zip(tokens["float32"], tokens["torch"], strict=True))
        measurements.append(Measurement("Qwen2-0.5B float32", f"the same of {N_TOKENS + 1} tokens", "", n_equal))
    return measurements


def _decode(step: Step, prompt: list[int], seconds: list[float]) -> list[int]:
    """Return the tokens after a prompt, and add the seconds of each but the first to `seconds`."""
    tokens = [step(prompt)]
    for _ in range(N_TOKENS):
        start = time.perf_counter()
        tokens.append(step(tokens[-1:]))
        seconds.append(time.perf_counter() - start)
    return tokens


def _build(kind: str, config: dict[str, Any], weights: list | None = None, bits: int = 0, group_size: int = 64) -> Any:
    """Return a model of mlx-lm, with random weights unless `weights` are given, quantized if `bits` is not 0."""
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


def measure_smollm2(kernels: str) -> float:
    """Return the median seconds for a token of mlx-lm's own generation. kernels: "plain" or "patched" (patch_mlx)."""
    import mlx.core as mx

    if kernels == "patched":
        backend.patch_mlx()
    from mlx_lm.generate import generate_step

    from .. import registry
    from ..checkpoint import locate

    path = locate("packaged:smollm2-135m-instruct-q4").path / "model.gguf"
    with registry.recognise(path).open_release(path) as checkpoint:
        config, weights = dict(checkpoint.config or {}), [(name, checkpoint[name]) for name in checkpoint.names()]
    model = _build("llama", config, weights, bits=4, group_size=32)
    prompt = mx.array(np.random.default_rng(0).integers(0, config["vocab_size"], N_PROMPT))
    times = [time.perf_counter() for _ in generate_step(prompt, model, max_tokens=N_SMOLLM2_TOKENS)]
    return median(np.diff(times).tolist())


if __name__ == "__main__":
    sys.stdout.write(f"{json.dumps(measure_smollm2(sys.argv[1]))}\n")
