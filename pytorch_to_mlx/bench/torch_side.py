"""Measure PyTorch for `benchmark`: its threads, its single ops, and where its time goes."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import MissingExtraError


def threads() -> int:
    """Return the number of threads that torch computes with."""
    import torch

    return torch.get_num_threads()


def op(call: Callable[..., Any], arrays: Sequence[np.ndarray]) -> Callable[[], Any]:
    """Return a function that runs `call(torch, *tensors)` on these arrays, without gradients.

    Raises: MissingExtraError where torch is not installed.
    """
    try:
        import torch
    except ImportError as error:
        raise MissingExtraError("torch", "validate", needed_for="measuring beside PyTorch") from error
    tensors = [torch.from_numpy(np.ascontiguousarray(array)) for array in arrays]

    def run() -> Any:
        with torch.inference_mode():
            return call(torch, *tensors)

    return run


def seconds_by_op(call: Callable[[], Any]) -> dict[str, float]:
    """Return the CPU seconds that each ATen op spends in itself during one call, largest first."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        call()
    seconds = {event.key: event.self_cpu_time_total / 1e6 for event in profiler.key_averages()}
    return dict(sorted(seconds.items(), key=lambda item: -item[1]))


def qwen2(config: dict[str, Any], weights: dict[str, np.ndarray]) -> Callable[[], Callable[[list[int]], int]]:
    """Build transformers' Qwen2 with these weights, and return a function that begins a text.

    It gives a step with a key-value cache of its own: token ids in, the likeliest next one out.
    """
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    options = {**config, "rope_parameters": {"rope_type": "default", "rope_theta": config["rope_theta"]}}
    with torch.device("meta"):
        model = Qwen2ForCausalLM(Qwen2Config(**options)).eval()
    tensors = {name: torch.from_numpy(array) for name, array in weights.items()}
    model.load_state_dict({**tensors, "lm_head.weight": tensors["model.embed_tokens.weight"]}, assign=True)
    model.tie_weights()
    # Its frequencies are not weights, and are still on "meta".
    model.model.rotary_emb = type(model.model.rotary_emb)(model.config)

    def begin() -> Callable[[list[int]], int]:
        past = None

        def step(ids: list[int]) -> int:
            nonlocal past
            with torch.inference_mode():
                out = model(torch.tensor([ids]), past_key_values=past, use_cache=True)
            past = out.past_key_values
            return int(out.logits[0, -1].argmax())

        return step

    return begin


def save_random_translator(kind: str, sizes: dict[str, Any], folder: Path) -> None:
    """Write an encoder-decoder of transformers with its own random weights, seed 0. kind: its model_type."""
    import torch
    from transformers import AutoConfig, AutoModelForSeq2SeqLM

    torch.manual_seed(0)
    model = AutoModelForSeq2SeqLM.from_config(AutoConfig.for_model(kind, **sizes))
    model.generation_config.forced_eos_token_id = None
    model.save_pretrained(folder)


def translator_config(folder: Path) -> Any:
    """Return the config of a folder of transformers."""
    from transformers import AutoConfig

    return AutoConfig.from_pretrained(folder)


def translator(kind: str, folder: Path, bits: int) -> Callable[[Sequence[Sequence[int]], int, int], Any]:
    """Return transformers' generate() in float32: sources, beams and the tokens of each hypothesis."""
    import torch
    from transformers import AutoModelForSeq2SeqLM

    model = AutoModelForSeq2SeqLM.from_pretrained(folder, dtype=torch.float32).eval()

    def translate(sources: Sequence[Sequence[int]], beams: int, n: int) -> Any:
        options = dict(num_beams=beams, do_sample=False, min_new_tokens=n, max_new_tokens=n, max_length=None)
        with torch.inference_mode():
            return model.generate(torch.tensor(sources), **options)

    return translate
