"""`benchmark ops`: every op of backend.ops at the shapes the families use: kernel, MLX, PyTorch, floor.

The floor is what the machine allows: moving the row's bytes once at the rate of a copy of that size, or doing its
arithmetic at the rate of a large matrix product, whichever takes longer. Both rates are measured in the same run.
"""

import math
import sys
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np

from .. import backend
from ..backend import native, plain
from ..backend import ops as picked
from ..progress import track
from .measurement import Measurement
from .op_cases import ROWS
from .op_row import Row
from .ops_report import ARITHMETIC, KERNEL, MEMORY, MLX, OpsResult


def run(*, seconds: float = 0.4, against_torch: bool = True, names: str = "") -> OpsResult:
    """Measure all rows whose name holds `names`, each side for about `seconds`."""
    chosen = [row for row in ROWS if names in row.name]
    floor = _Floor()
    measurements: list[Measurement] = []
    for row in track(chosen, "ops", len(chosen)):
        times, sides = _sides(row, against_torch)
        took = {name: taken / times for name, taken in _measure(sides, seconds).items()}
        torch_s = took.get("torch")
        for side in (KERNEL, MLX):
            if side in took:
                measurements.append(Measurement(row.name, side, "ms", 1e3 * took[side], torch_s and 1e3 * torch_s))
        measurements.append(Measurement(row.name, *floor(row)))
    threads = {"ours": backend.describe(measure=False).threads}
    if against_torch:
        from . import torch_side

        threads["torch"] = torch_side.threads()
    command = " ".join(["pytorch-to-mlx", *sys.argv[1:]])
    return OpsResult("ops", "none", command, tuple(measurements), runs=0, threads=threads)


def _sides(row: Row, against_torch: bool) -> tuple[int, dict[str, Callable[[], Any]]]:
    """What each side does in one call of the row, `times` times over."""
    import mlx.core as mx

    np.random.seed(0)
    arrays = row.arrays()
    ours = [mx.array(a) for a in arrays]
    result = row.ours(plain, *ours)
    mx.eval(ours, result)
    times = _times(result)
    sides: dict[str, Callable[[], Any]] = {MLX: lambda: mx.eval([row.ours(plain, *ours) for _ in range(times)])}
    if native.kernels():
        sides[KERNEL] = lambda: mx.eval([row.ours(picked, *ours) for _ in range(times)])
    if against_torch:
        from . import torch_side

        once = torch_side.op(row.torch, row.to_torch(arrays))
        sides["torch"] = lambda: [once() for _ in range(times)]
    return times, sides


def _times(result: Any) -> int:
    """How many calls make one measurement: as in a model, where one evaluation holds many small ops, up to 8 MB of
    results. What waking MLX's thread takes (30 µs) is shared by them.
    """
    size = sum(y.nbytes for y in (result if isinstance(result, (list, tuple)) else [result]))
    return max(1, min(16, 2**23 // max(size, 1)))


def _measure(sides: dict[str, Callable[[], Any]], seconds: float, turns: int = 3) -> dict[str, float]:
    """The median seconds of a call of each side, measured in turns.

    A pause before each turn lets the other side's threads, which wait busily for more work, fall asleep. MLX's cache
    is emptied, as it hands out every free buffer of a size in turn: a side would go through those of the one before.
    """
    import mlx.core as mx

    samples: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(turns):
        for name, call in sides.items():
            time.sleep(0.02)
            mx.clear_cache()
            call()
            end = time.perf_counter() + seconds / turns
            while not samples[name] or time.perf_counter() < end:
                start = time.perf_counter()
                call()
                samples[name].append(time.perf_counter() - start)
    return {name: median(taken) for name, taken in samples.items()}


class _Floor:
    """The least seconds for a row on this machine, from rates measured once."""

    def __init__(self) -> None:
        import mlx.core as mx

        a = mx.random.normal((1024, 1024))
        mx.eval(a)
        self._copies: dict[int, float] = {}
        self._flops_per_s = 2 * 1024**3 / _best(lambda: mx.eval(a @ a))

    def __call__(self, row: Row) -> tuple[str, str, float]:
        """Which floor it is, its unit, and how much."""
        memory, arithmetic = 1e3 * self._copy_s(row.bytes), 1e3 * row.flops / self._flops_per_s
        return (MEMORY, "ms", memory) if memory > arithmetic else (ARITHMETIC, "ms", arithmetic)

    def _copy_s(self, size: float) -> float:
        """To move `size` bytes, half of them read and half written: a power of two near it is measured."""
        import mlx.core as mx

        if size < 1024:
            return 0.0
        near = 2 ** round(math.log2(size))
        if near not in self._copies:
            x = mx.zeros((near // 8,))
            mx.eval(x)
            self._copies[near] = _best(lambda: mx.eval(picked.leaky_relu(x, 1.0)))
        return self._copies[near] * size / near


def _best(call: Callable[[], Any], seconds: float = 0.2) -> float:
    best, end = math.inf, time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - start)
    return best
