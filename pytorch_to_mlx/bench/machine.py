"""Which machine, and which versions, a figure was measured on."""

import os
from pathlib import Path
from typing import Any

from .. import backend


def machine() -> dict[str, Any]:
    """Processor, cores, memory and system of this machine, what MLX stands on, and how busy the machine was."""
    found = backend.describe(measure=False)
    return {
        "processor": found.cpu,
        "cores": cores(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "system": found.system,
        "device": found.device,
        "blas": found.blas,
        "kernels": found.kernels,
        "load_average": round(os.getloadavg()[0], 2),
    }


def cores() -> int:
    """The processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def peak_memory_bytes() -> int:
    """The most memory that this process has held so far."""
    status = Path("/proc/self/status")
    if status.exists():
        # ru_maxrss would also count what the parent held when it forked
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # in bytes on macOS
