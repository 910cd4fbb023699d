"""What `benchmark` asks of torch itself: its threads, and where its time goes."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..errors import MissingExtraError


def threads() -> int:
    import torch

    return torch.get_num_threads()


def op(call: Callable[..., Any], arrays: Sequence[np.ndarray]) -> Callable[[], Any]:
    """`call(torch, *tensors)` on these arrays, without gradients, as a function of nothing."""
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
    """CPU seconds that each ATen op spends in itself during one call, largest first."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        call()
    spent = {event.key: event.self_cpu_time_total / 1e6 for event in profiler.key_averages()}
    return dict(sorted(spent.items(), key=lambda item: -item[1]))


def qwen2(config: dict[str, Any], weights: dict[str, np.ndarray]) -> Callable[[], Callable[[list[int]], int]]:
    """transformers' Qwen2 with these weights. Each call begins a text: token ids in, the likeliest next one out."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    wanted = {**config, "rope_parameters": {"rope_type": "default", "rope_theta": config["rope_theta"]}}
    with torch.device("meta"):
        model = Qwen2ForCausalLM(Qwen2Config(**wanted)).eval()
    tensors = {name: torch.from_numpy(array) for name, array in weights.items()}
    model.load_state_dict({**tensors, "lm_head.weight": tensors["model.embed_tokens.weight"]}, assign=True)
    model.tie_weights()
    model.model.rotary_emb = type(model.model.rotary_emb)(model.config)  # its frequencies are no weights

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
