"""The result of `benchmark ops` as a table, and the counts below it."""

from typing import Any

from ..units import number_text
from .measurement import Measurement
from .result import Result

KERNEL, MLX = "kernel", "MLX's own op"
MEMORY, ARITHMETIC = "memory floor", "arithmetic floor"  # whichever takes longer
AT_FLOOR = 1.15
"""A kernel within this factor of its floor is at the floor: both are medians that vary from run to run."""


class OpsResult(Result):
    """A result with one line for each op, not for each measurement."""

    def rows(self) -> list[dict[str, Any]]:
        """Return a line for each op."""
        return table(self.measurements)

    def summary(self) -> str:
        """Return the machine and versions, and how many ops reach PyTorch or their floor."""
        return f"{super().summary()}\n{counts(self.measurements)}"


def _by_op(measurements: tuple[Measurement, ...]) -> dict[str, dict[str, Measurement]]:
    ops: dict[str, dict[str, Measurement]] = {}
    for m in measurements:
        ops.setdefault(m.workload, {})[m.measure] = m
    return ops


def table(measurements: tuple[Measurement, ...]) -> list[dict[str, str]]:
    """Return one line for each op: milliseconds, how many times as fast as PyTorch, how far above the floor."""
    lines = []
    for name, sides in _by_op(measurements).items():
        kernel, bound = sides.get(KERNEL), MEMORY if MEMORY in sides else ARITHMETIC
        floor = sides[bound].ours
        ours, torch = (kernel.ours, kernel.torch) if kernel else (None, None)
        lines.append(
            {
                "op": name,
                "kernel ms": _ms(ours),
                "MLX ms": _ms(sides[MLX].ours),
                "PyTorch ms": _ms(torch if kernel else sides[MLX].torch),
                "PyTorch / kernel": f"{torch / ours:.2f}" if ours and torch else "",
                "floor ms": _ms(floor),
                "bound by": bound.split()[0],
                "kernel / floor": f"{ours / floor:.2f}" if ours and floor else "",
            }
        )
    return lines


def counts(measurements: tuple[Measurement, ...]) -> str:
    """Say how many ops reach PyTorch or their floor, and how many memory-bound ones are 1.5 times as fast."""
    slower, n_fast, n_memory, n_rows = [], 0, 0, 0
    for name, sides in _by_op(measurements).items():
        kernel, floor = sides.get(KERNEL), sides.get(MEMORY) or sides[ARITHMETIC]
        if not (kernel and kernel.ratio and kernel.ours and floor.ours):
            continue
        n_rows += 1
        n_memory += MEMORY in sides
        n_fast += MEMORY in sides and kernel.ratio >= 1.5
        if kernel.ratio < 1 and kernel.ours > AT_FLOOR * floor.ours:
            slower.append(name)
    if not n_rows:
        return "nothing was measured on the kernels beside PyTorch"
    n_reached = n_rows - len(slower)
    reached = f"{n_reached} of {n_rows} rows take no longer than PyTorch, or at most {AT_FLOOR} times their floor"
    names = f" (not: {'; '.join(slower)})" if slower else ""
    memory = f"{n_fast} of the {n_memory} rows that memory bounds are at least 1.5 times as fast as PyTorch"
    return f"{reached}{names}; {memory}"


def _ms(value: float | None) -> str:
    return "" if value is None else number_text(value, 3)
