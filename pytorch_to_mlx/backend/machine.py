"""Describe the machine, for `pytorch-to-mlx doctor`."""

import importlib.util
import os
import platform
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from . import blas as _blas
from . import native

# (name of the part, a module of it, what it is needed for, the command that installs it)
_PARTS = (
    ("CPU kernels and BLAS", "pytorch_to_mlx_cpu", "Linux CPU speed", "pip install ./csrc"),
    ("PyTorch", "torch", "validate, benchmark --against torch", "pip install torch"),
)


@dataclass(frozen=True)
class Part:
    """An optional part: whether it is installed, what it gives, and the command that installs it."""

    name: str
    present: bool
    gives: str
    command: str
    note: str | None = None


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
    parts: tuple[Part, ...]
    problems: tuple[tuple[str, str], ...]


def describe(*, measure: bool = True) -> Machine:
    """Describe the machine; `measure` times a matrix product (about 0.1 s)."""
    import mlx.core as mx

    device = mx.default_device()
    name = mx.device_info().get("device_name", "") if hasattr(mx, "device_info") else ""
    blas, (kernels, reason) = _blas.current(), native.load()
    problems = []
    if blas.problem:
        problems.append((f"{blas.name}: {blas.problem}", blas.fix or ""))
    on_cpu = device == mx.Device(mx.cpu)
    if on_cpu and kernels is None and platform.system() == "Linux":
        slow = "activations, attention and convolutions run 2 to 80 times slower"
        problems.append((f"no CPU kernels: {reason}; {slow}", "pip install ./csrc"))
    return Machine(
        system=f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        device=f"{device.type.name}{f' ({name})' if name else ''}",
        mlx_version=version("mlx"),
        blas=blas.name,
        gflops=_gflops() if measure else None,
        threads=kernels.threads() if kernels else _n_cores(),
        cpu=_cpu_name(),
        cpu_features=_cpu_features(),
        kernels="MLX's own" if not on_cpu else kernels.isa if kernels else f"none: {reason}",
        parts=tuple(
            Part(name, importlib.util.find_spec(module) is not None, gives, command)
            for name, module, gives, command in _PARTS
            if platform.system() == "Linux" or module == "torch"
        ),
        problems=tuple(problems),
    )


def _n_cores() -> int:
    """Return how many cores this process may use, 0 if unknown."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0


def _gflops(n: int = 512, budget_s: float = 0.1) -> float:
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
