"""Measure calls in turn: both sides meet the same moods of the machine."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any


@dataclass(frozen=True)
class Timing:
    """Medians over `runs` calls. first_s: until the first item, where the call returns an iterator."""

    wall_s: float
    cpu_s: float
    runs: int
    first_s: float | None = None


def alternate(sides: Mapping[str, Callable[[], Any]], *, runs: int = 5, warmup: int = 1) -> dict[str, Timing]:
    """Call every side `runs` times after `warmup` calls, taking turns and changing who begins."""
    for _ in range(warmup):
        for call in sides.values():
            once(call)
    samples: dict[str, list[tuple[float, float, float | None]]] = {name: [] for name in sides}
    order = list(sides)
    for _ in range(runs):
        for name in order:
            samples[name].append(once(sides[name]))
        order.reverse()
    return {name: _summary(taken) for name, taken in samples.items()}


def once(call: Callable[[], Any]) -> tuple[float, float, float | None]:
    """Wall seconds, CPU seconds of all threads, and seconds until the first item of an iterator."""
    first = None
    cpu, wall = time.process_time(), time.perf_counter()
    result = call()
    if isinstance(result, Iterator):
        for item in result:
            _force(item)
            first = time.perf_counter() - wall if first is None else first
    else:
        _force(result)
    return time.perf_counter() - wall, time.process_time() - cpu, first


def _summary(samples: list[tuple[float, float, float | None]]) -> Timing:
    firsts = [first for _, _, first in samples if first is not None]
    return Timing(
        median(wall for wall, _, _ in samples),
        median(cpu for _, cpu, _ in samples),
        len(samples),
        median(firsts) if firsts else None,
    )


def _force(value: Any) -> None:
    """MLX is lazy: a result counts when it has been computed."""
    import mlx.core as mx

    mx.eval(value)
