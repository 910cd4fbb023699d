"""Load the optional CPU kernels of pytorch-to-mlx-cpu (csrc/)."""

import importlib.util
import os
from functools import cache
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
