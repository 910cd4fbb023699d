"""What `pytorch-to-mlx doctor` shows about the machine."""

import importlib.util
import os
import platform
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from . import blas as _blas
from . import native

# name of the part, the module that shows it is here, what is lost without it, the command that adds it
_PARTS = (
    ("CPU kernels and BLAS", "pytorch_to_mlx_cpu", "Linux CPU speed", "pip install ./csrc"),
    ("PyTorch", "torch", "validate, benchmark --against torch", "pip install torch"),
)


@dataclass(frozen=True)
class Part:
    """An optional part: what it gives, whether it is here, and the command that adds it."""

    name: str
    present: bool
    gives: str
    command: str
    note: str | None = None


@dataclass(frozen=True)
class Machine:
    """The machine as MLX sees it. `problems` are (what is wrong, what to do)."""

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
    import mlx.core as mx

    device = mx.default_device()
    name = mx.device_info().get("device_name", "") if hasattr(mx, "device_info") else ""
    blas, (kernels, why) = _blas.current(), native.load()
    problems = []
    if blas.problem:
        problems.append((f"{blas.name}: {blas.problem}", blas.cure or ""))
    on_cpu = device == mx.Device(mx.cpu)
    if on_cpu and kernels is None and platform.system() == "Linux":
        problems.append((f"no CPU kernels: {why}; activations, attention and convolutions run 2 to 80 times slower",
                         "pip install ./csrc"))  # fmt: skip
    return Machine(
        system=f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        device=f"{device.type.name}{f' ({name})' if name else ''}",
        mlx_version=version("mlx"),
        blas=blas.name,
        gflops=_gflops() if measure else None,
        threads=kernels.threads()
        if kernels
        else len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else 0,
        cpu=_cpu_name(),
        cpu_features=_cpu_features(),
        kernels=f"{kernels.isa}" if kernels and on_cpu else f"none: {why}" if on_cpu else "MLX's own",
        parts=tuple(
            Part(name, importlib.util.find_spec(module) is not None, gives, command)
            for name, module, gives, command in _PARTS
            if platform.system() == "Linux" or module == "torch"
        ),
        problems=tuple(problems),
    )


def _gflops(n: int = 512, budget_s: float = 0.1) -> float:
    """The best rate of an n × n float32 product within the budget, in 10^9 operations a second."""
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
    """Those that matter for speed."""
    flags = set((_cpuinfo("flags") or _cpuinfo("Features")).split())
    wanted = (
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
    return tuple(flag for flag in wanted if flag in flags)
