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
