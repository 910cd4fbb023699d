"""`benchmark ops`: every op of backend.ops at the shapes the families use: kernel, MLX, PyTorch, floor.

The floor is what the machine allows: moving the op's bytes once at the rate of a copy of that size, or doing its
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
from ..backend import ops as kernels
from ..progress import track
from .measure import REST_S
from .measurement import Measurement
from .op_cases import OP_CASES, OpCase
from .ops_report import ARITHMETIC, KERNEL, MEMORY, MLX, OpsResult


def run(*, seconds: float = 0.4, against_torch: bool = True, names: str = "") -> OpsResult:
    """Measure all ops whose name contains `names`, each side for about `seconds`."""
    cases = [case for case in OP_CASES if names in case.name]
    floor = _Floor()
    measurements: list[Measurement] = []
    for case in track(cases, "ops", len(cases)):
        repeats, sides = _sides(case, against_torch)
        call_s = {name: batch_s / repeats for name, batch_s in _measure(sides, seconds).items()}
        torch_s = call_s.get("torch")
        for side in (KERNEL, MLX):
            if side in call_s:
                measurements.append(Measurement(case.name, side, "ms", 1e3 * call_s[side], torch_s and 1e3 * torch_s))
        measurements.append(Measurement(case.name, *floor(case)))
    threads = {"ours": backend.describe(measure=False).threads}
    if against_torch:
        from . import torch_side

        threads["torch"] = torch_side.threads()
    command = " ".join(["pytorch-to-mlx", *sys.argv[1:]])
    return OpsResult("ops", "none", command, tuple(measurements), runs=0, threads=threads)


def _sides(case: OpCase, against_torch: bool) -> tuple[int, dict[str, Callable[[], Any]]]:
    """Return how often each side repeats the op in one call, and the sides."""
    import mlx.core as mx

    np.random.seed(0)
    arrays = case.arrays()
    ours = [mx.array(a) for a in arrays]
    result = case.ours(plain, *ours)
    mx.eval(ours, result)
    repeats = _repeats(result)
    sides: dict[str, Callable[[], Any]] = {MLX: lambda: mx.eval([case.ours(plain, *ours) for _ in range(repeats)])}
    if native.kernels():
        sides[KERNEL] = lambda: mx.eval([case.ours(kernels, *ours) for _ in range(repeats)])
    if against_torch:
        from . import torch_side

        call_torch = torch_side.op(case.torch, case.to_torch(arrays))
        sides["torch"] = lambda: [call_torch() for _ in range(repeats)]
    return repeats, sides


def _repeats(result: Any) -> int:
    """Return how many calls make one measurement: up to 16, with at most 8 MB of results.

    As in a model, where one evaluation covers many small ops: they share the 30 µs of waking MLX's thread.
    """
    size = sum(y.nbytes for y in (result if isinstance(result, (list, tuple)) else [result]))
    return max(1, min(16, 2**23 // max(size, 1)))


def _measure(sides: dict[str, Callable[[], Any]], seconds: float, rounds: int = 3) -> dict[str, float]:
    """Return the median seconds of a call of each side, measured interleaved, in rounds.

    A pause before each side's share lets the other side's threads, which busily wait for more work, fall asleep. MLX's
    cache is emptied because it hands out every free buffer of a size in turn: a side would go through those of the
    one before.
    """
    import mlx.core as mx

    samples: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, call in sides.items():
            time.sleep(REST_S)
            mx.clear_cache()
            call()
            end = time.perf_counter() + seconds / rounds
            while not samples[name] or time.perf_counter() < end:
                start = time.perf_counter()
                call()
                samples[name].append(time.perf_counter() - start)
    return {name: median(call_seconds) for name, call_seconds in samples.items()}


class _Floor:
    """The least seconds for an op on this machine, from rates measured once."""

    def __init__(self) -> None:
        import mlx.core as mx

        a = mx.random.normal((1024, 1024))
        mx.eval(a)
        self._copies: dict[int, float] = {}
        self._flops_per_s = 2 * 1024**3 / _best(lambda: mx.eval(a @ a))

    def __call__(self, case: OpCase) -> tuple[str, str, float]:
        """Return which floor binds, its unit and its value."""
        memory, arithmetic = 1e3 * self._copy_s(case.bytes), 1e3 * case.flops / self._flops_per_s
        return (MEMORY, "ms", memory) if memory > arithmetic else (ARITHMETIC, "ms", arithmetic)

    def _copy_s(self, size: float) -> float:
        """Return the seconds to move `size` bytes, half read and half written; a power of two near it is measured."""
        import mlx.core as mx

        if size < 1024:
            return 0.0
        near = 2 ** round(math.log2(size))
        if near not in self._copies:
            x = mx.zeros((near // 8,))
            mx.eval(x)
            # leaky_relu with slope 1 is a copy.
            self._copies[near] = _best(lambda: mx.eval(kernels.leaky_relu(x, 1.0)))
        return self._copies[near] * size / near


def _best(call: Callable[[], Any], seconds: float = 0.2) -> float:
    """Return the least seconds of a call, over as many calls as `seconds` allow."""
    best, end = math.inf, time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - start)
    return best
