"""Measure one side in a process of its own: load time and peak memory."""

import json
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..contract import Side
from ..errors import CheckError


@dataclass(frozen=True)
class ProcessCost:
    """What one side costs in a new process: load_s until the model is ready, then one call of the largest workload."""

    load_s: float
    first_call_s: float
    peak_memory_bytes: int


def measure(family: str, side: Side, source: Path, mlx_path: Path | None) -> ProcessCost:
    """Load one side in a new process, run its largest workload once, and return the cost.

    Raises: CheckError with the last line of stderr if the process fails.
    """
    start = time.monotonic()  # one clock for all processes of the machine
    return ProcessCost(**run_module(__name__, family, side, str(source), str(mlx_path or ""), str(start), what=side))


def run_module(module: str, *arguments: str, what: str) -> Any:
    """Run `python -m module arguments…` and return the JSON of its last line.

    Raises: CheckError, which says that `what` failed, with the last line of stderr.
    """
    process = subprocess.run([sys.executable, "-m", module, *arguments], capture_output=True, text=True, check=False)
    if process.returncode:
        last = (process.stderr.strip().splitlines() or ["no message"])[-1]
        raise CheckError(f"{what} failed in a process of its own (exit {process.returncode}): {last}")
    return json.loads(process.stdout.splitlines()[-1])


def main(family: str, side: Side, source: str, mlx_path: str, start: str) -> str:
    """Measure this process and return its ProcessCost as JSON. start: `time.monotonic()` of the parent."""
    from .. import registry
    from .machine import peak_memory_bytes
    from .measure import measure_once

    call = registry.family(family).reference().alone(side, Path(source), Path(mlx_path) if mlx_path else None)
    load_s = time.monotonic() - float(start)
    first_call_s, _, _ = measure_once(call)
    return json.dumps(asdict(ProcessCost(load_s, first_call_s, peak_memory_bytes())))


if __name__ == "__main__":
    sys.stdout.write(main(*sys.argv[1:]) + "\n")  # type: ignore[arg-type]
