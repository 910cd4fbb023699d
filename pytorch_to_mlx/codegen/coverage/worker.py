"""One case of a suite in a process of its own: `python -m pytorch_to_mlx.codegen.coverage.worker SUITE NAME OUTPUT`.

A crash, a hang or a lack of memory then costs one case, and the caller says so.
"""

import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

import torch

from .suites import measure


def main(suite: str, name: str, output: str, limit: str = "") -> None:
    torch.set_num_threads(1)
    start = time.perf_counter()
    found: dict[str, Any] = measure(suite, name, int(limit) if limit else None)
    found["total_s"] = time.perf_counter() - start
    found["peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    Path(output).write_text(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
