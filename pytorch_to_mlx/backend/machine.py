"""Describe the machine, for `pytorch-to-mlx doctor`."""

import os
import platform
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from . import blas as _blas
from . import native
from .dtype import on_cpu


@dataclass(frozen=True)
class Machine:
    """The machine as MLX sees it. problems: (what is wrong, how to fix it) each."""

    system: str
    device: str
    mlx_version: str
    blas: str
    gflops: float | None
    threads: int
    cpu: str
    cpu_features: tuple[str, ...]
    kernels: str
    problems: tuple[tuple[str, str], ...]


def describe(*, measure: bool = True) -> Machine:
    """Describe the machine; `measure` times a matrix product (about 0.3 s)."""
    import mlx.core as mx

    device = mx.default_device()
    name = mx.device_info().get("device_name", "") if hasattr(mx, "device_info") else ""
    blas, (kernels, reason) = _blas.current(), native.load()
    return Machine(
        system=f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        device=f"{device.type.name}{f' ({name})' if name else ''}",
        mlx_version=version("mlx"),
        blas=blas.name,
        gflops=_gflops() if measure else None,
        threads=kernels.threads() if kernels else _n_cores(),
        cpu=_cpu_name(),
        cpu_features=_cpu_features(),
        kernels="MLX's own" if not on_cpu() else kernels.isa if kernels else f"none: {reason}",
        problems=tuple(slow_parts()),
    )


def slow_parts() -> list[tuple[str, str]]:
    """Return what makes this machine slower than it need be, the worst first: what is wrong, and how to fix it."""
    blas, (kernels, reason) = _blas.current(), native.load()
    slow = [(f"{blas.name}: {blas.problem}", blas.fix or "")] if blas.problem else []
    if on_cpu() and kernels is None and platform.system() == "Linux":
        effect = "activations, attention and convolutions run 2 to 80 times slower"
        off = str(reason).startswith(native.SWITCH)
        slow.append((f"no CPU kernels: {reason}; {effect}", f"unset {native.SWITCH}" if off else "pip install ./csrc"))
    return slow


def _n_cores() -> int:
    """Return how many cores this process may use, 0 if unknown."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0


def _gflops(n: int = 512, budget_s: float = 0.3) -> float:
    """Return the best rate of an n × n float32 product within the budget, in 10^9 operations per second."""
    import mlx.core as mx

    a, b = mx.random.normal((n, n), key=mx.random.key(0)), mx.random.normal((n, n), key=mx.random.key(1))
    mx.eval(a, b)
    best, end = float("inf"), time.perf_counter() + budget_s
    while True:
        start = time.perf_counter()
        mx.eval(a @ b)
        now = time.perf_counter()
        best = min(best, now - start)
        if now > end:
            return 2 * n**3 / best / 1e9


def _cpuinfo(field: str) -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in text.splitlines() if line.startswith(field)), "")


def _cpu_name() -> str:
    return _cpuinfo("model name") or platform.processor() or platform.machine()


def _cpu_features() -> tuple[str, ...]:
    """Return the processor's features that matter for speed."""
    flags = set((_cpuinfo("flags") or _cpuinfo("Features")).split())
    relevant = (
        "avx2",
        "fma",
        "f16c",
        "avx512f",
        "avx512_vnni",
        "avx512_bf16",
        "avx_vnni",
        "asimd",
        "bf16",
        "i8mm",
        "sve",
    )
    return tuple(flag for flag in relevant if flag in flags)
