"""Load the optional CPU kernels of pytorch-to-mlx-cpu (csrc/)."""

import importlib.util
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from threading import Lock
from types import ModuleType

from .dtype import on_cpu

SWITCH = "PYTORCH_TO_MLX_NATIVE"  # 0 leaves the kernels out
VERSION = "0.5.0"  # of the kernels that `plain` has the arguments of


@cache
def load() -> tuple[ModuleType | None, str | None]:
    """Load the kernels once; return their module, or None and the reason why there are none."""
    if os.environ.get(SWITCH) == "0":
        return None, f"{SWITCH}=0"
    if importlib.util.find_spec("pytorch_to_mlx_cpu") is None:
        return None, "the package pytorch-to-mlx-cpu is not installed"
    import pytorch_to_mlx_cpu

    from . import plain

    if pytorch_to_mlx_cpu.__version__ != VERSION:
        return None, f"pytorch-to-mlx-cpu is version {pytorch_to_mlx_cpu.__version__}, and {VERSION} is needed"
    try:
        module = pytorch_to_mlx_cpu.kernels()
    except ImportError as error:  # built for another MLX, or a broken build: the message says which
        return None, str(error)
    module.set_plain({name: function for name, function in vars(plain).items() if callable(function)})
    return module, None


def kernels() -> ModuleType | None:
    """Return the kernels, if they are installed and MLX computes on the CPU."""
    return load()[0] if on_cpu() else None


@dataclass
class _OneThread:
    n: int = 0  # threads that are inside `one_thread`
    threads: int = 1  # of the kernels before the first came


_inside, _lock = _OneThread(), Lock()


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one thread inside: for steps whose operations are too short to be shared out.

    Without the kernels nothing changes. It holds for the process: other work is on one thread too while a step lasts.
    """
    if (cpu := kernels()) is None:
        yield
        return
    with _lock:
        if _inside.n == 0:
            _inside.threads = cpu.threads()
            cpu.set_threads(1)
        _inside.n += 1
    try:
        yield
    finally:
        with _lock:
            _inside.n -= 1
            if _inside.n == 0:
                cpu.set_threads(_inside.threads)
