"""Describe the machine that a figure was measured on."""

import os
from pathlib import Path
from typing import Any

from .. import backend


def machine() -> dict[str, Any]:
    """Return this machine's processor, cores, memory and system, the BLAS and kernels under MLX, and the load."""
    described = backend.describe(measure=False)
    return {
        "processor": described.cpu,
        "cores": cores(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "system": described.system,
        "device": described.device,
        "blas": described.blas,
        "kernels": described.kernels,
        "load_average": round(os.getloadavg()[0], 2),
    }


def cores() -> int:
    """Return the number of processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def peak_memory_bytes() -> int:
    """Return the largest resident memory that this process has had so far."""
    status = Path("/proc/self/status")
    if status.exists():
        # ru_maxrss would also count what the parent had when it forked
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # in bytes on macOS
