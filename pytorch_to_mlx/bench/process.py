"""Load time and peak memory of one side, each in a process of its own: `python -m pytorch_to_mlx.bench.process`."""

import json
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from ..errors import CheckError

Side = Literal["ours", "torch"]


@dataclass(frozen=True)
class Fresh:
    """load_s: from the start of the process until the model can work; then one call of the largest workload."""

    load_s: float
    first_call_s: float
    peak_memory_bytes: int


def measure(family: str, side: Side, source: Path, mlx_path: Path | None) -> Fresh:
    """Load one side in a new process, run its workload once, and return what it took."""
    started = time.monotonic()  # one clock for all processes of the machine
    arguments = [family, side, str(source), str(mlx_path or ""), str(started)]
    done = subprocess.run([sys.executable, "-m", __name__, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise CheckError(f"{side} did not run in a process of its own (exit {done.returncode}): {last}")
    return Fresh(**json.loads(done.stdout.splitlines()[-1]))


def main(family: str, side: Side, source: str, mlx_path: str, started: str) -> str:
    from .. import registry
    from .machine import peak_memory_bytes
    from .measure import once

    call = registry.family(family).reference().alone(side, Path(source), Path(mlx_path) if mlx_path else None)
    load_s = time.monotonic() - float(started)
    first_call_s, _, _ = once(call)
    return json.dumps(asdict(Fresh(load_s, first_call_s, peak_memory_bytes())))


if __name__ == "__main__":
    sys.stdout.write(main(*sys.argv[1:]) + "\n")  # type: ignore[arg-type]
