"""What `benchmark` asks of torch itself: its threads, and where its time goes."""

from collections.abc import Callable
from typing import Any


def threads() -> int:
    import torch

    return torch.get_num_threads()


def seconds_by_op(call: Callable[[], Any]) -> dict[str, float]:
    """CPU seconds that each ATen op spends in itself during one call, largest first."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        call()
    spent = {event.key: event.self_cpu_time_total / 1e6 for event in profiler.key_averages()}
    return dict(sorted(spent.items(), key=lambda item: -item[1]))
