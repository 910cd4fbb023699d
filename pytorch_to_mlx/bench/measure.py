"""Measure calls interleaved, so that whatever else the machine does meets all sides alike."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

REST_S = 0.03  # after each call: PyTorch's threads look for work for up to 10 ms more, on the cores of the next side


@dataclass(frozen=True)
class Timing:
    """Medians over `runs` calls. first_s: seconds until the first item, where the call returns an iterator."""

    wall_s: float
    cpu_s: float
    runs: int
    first_s: float | None = None


def measure_interleaved(sides: Mapping[str, Callable[[], Any]], *, runs: int = 5, warmup: int = 1) -> dict[str, Timing]:
    """Return the timing of each side over `runs` rounds, after `warmup` rounds that are not counted.

    Every round calls each side once; the next round calls them in the opposite order.
    """

    def measure_and_rest(call: Callable[[], Any]) -> tuple[float, float, float | None]:
        sample = measure_once(call)
        time.sleep(REST_S)
        return sample

    for _ in range(warmup):
        for call in sides.values():
            measure_and_rest(call)
    samples: dict[str, list[tuple[float, float, float | None]]] = {name: [] for name in sides}
    order = list(sides)
    for _ in range(runs):
        for name in order:
            samples[name].append(measure_and_rest(sides[name]))
        order.reverse()
    return {name: _medians(rows) for name, rows in samples.items()}


def measure_once(call: Callable[[], Any]) -> tuple[float, float, float | None]:
    """Return wall seconds, CPU seconds of all threads, and seconds until the first item where it gives an iterator.

    MLX is lazy: a result counts as computed after `mx.eval`.
    """
    import mlx.core as mx

    first_s = None
    cpu, wall = time.process_time(), time.perf_counter()
    result = call()
    if isinstance(result, Iterator):
        for item in result:
            mx.eval(item)
            first_s = time.perf_counter() - wall if first_s is None else first_s
    else:
        mx.eval(result)
    return time.perf_counter() - wall, time.process_time() - cpu, first_s


def _medians(samples: list[tuple[float, float, float | None]]) -> Timing:
    firsts = [first_s for _, _, first_s in samples if first_s is not None]
    return Timing(
        median(wall for wall, _, _ in samples),
        median(cpu for _, cpu, _ in samples),
        len(samples),
        median(firsts) if firsts else None,
    )
