"""pytorch-to-mlx: analyse, convert, prove, measure and run PyTorch models on Apple's MLX."""

from importlib import import_module
from typing import Any

from . import backend as _backend  # noqa: F401  a fast BLAS must be in place before MLX is imported

__version__ = "0.1.0"
__all__ = ["__version__", "convert", "load", "models", "validate"]

_PUBLIC = {"load": ("registry", "load"), "models": ("registry", "names"), "convert": ("convert", "convert")}
_PUBLIC["validate"] = ("validate", "validate")


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _PUBLIC[name]
    return getattr(import_module(f".{module}", __name__), attribute)
