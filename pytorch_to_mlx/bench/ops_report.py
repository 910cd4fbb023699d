"""The result of `benchmark ops` as a table, and the counts below it."""

from typing import Any

from .measurement import Measurement
from .result import Result

KERNEL, MLX = "kernel", "MLX's own op"
MEMORY, ARITHMETIC = "memory floor", "arithmetic floor"  # whichever takes longer


class OpsResult(Result):
    """A result with one line for each op, not for each measurement."""

    def rows(self) -> list[dict[str, Any]]:
        return table(self.measurements)

    def summary(self) -> str:
        return f"{super().summary()}\n{counts(self.measurements)}"


def _by_op(measurements: tuple[Measurement, ...]) -> dict[str, dict[str, Measurement]]:
    found: dict[str, dict[str, Measurement]] = {}
    for m in measurements:
        found.setdefault(m.workload, {})[m.measure] = m
    return found


def table(measurements: tuple[Measurement, ...]) -> list[dict[str, str]]:
    """One line an op: milliseconds, and how many times faster the kernel is and how far above the floor."""
    lines = []
    for name, found in _by_op(measurements).items():
        kernel, bound = found.get(KERNEL), MEMORY if MEMORY in found else ARITHMETIC
        floor = found[bound].ours
        ours, torch = (kernel.ours, kernel.torch) if kernel else (None, None)
        lines.append(
            {
                "op": name,
                "kernel ms": _ms(ours),
                "MLX ms": _ms(found[MLX].ours),
                "PyTorch ms": _ms(torch if kernel else found[MLX].torch),
                "PyTorch / kernel": f"{torch / ours:.2f}" if ours and torch else "",
                "floor ms": _ms(floor),
                "bound by": bound.split()[0],
                "kernel / floor": f"{ours / floor:.2f}" if ours and floor else "",
            }
        )
    return lines


def counts(measurements: tuple[Measurement, ...]) -> str:
    """How many rows reach PyTorch or their floor, and how many of those that memory bounds are 1.5 times as fast."""
    missed, fast, memory, rows = [], 0, 0, 0
    for name, found in _by_op(measurements).items():
        kernel, floor = found.get(KERNEL), found.get(MEMORY) or found[ARITHMETIC]
        if not (kernel and kernel.ratio and kernel.ours and floor.ours):
            continue
        rows += 1
        memory += MEMORY in found
        fast += MEMORY in found and kernel.ratio >= 1.5
        if kernel.ratio < 1 and kernel.ours > 1.15 * floor.ours:
            missed.append(name)
    if not rows:
        return "nothing was measured on the kernels beside PyTorch"
    reached = f"{rows - len(missed)} of {rows} rows take no longer than PyTorch, or at most 1.15 times their floor"
    why = f" (not: {'; '.join(missed)})" if missed else ""
    return f"{reached}{why}; {fast} of the {memory} rows that memory bounds are at least 1.5 times as fast as PyTorch"


def _ms(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"
