"""pytorch-to-mlx: analyse, convert, prove, measure and run PyTorch models on Apple's MLX."""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

from . import backend as _backend  # noqa: F401  a fast BLAS must be in place before MLX is imported
from .version import __version__

if TYPE_CHECKING:
    from .analyze import analyze
    from .convert import convert
    from .model_source import load
    from .registry import names as models
    from .validate import validate

__all__ = ["__version__", "analyze", "convert", "load", "models", "validate"]

_PUBLIC = {
    "analyze": ("analyze", "analyze"),
    "load": ("model_source", "load"),
    "models": ("registry", "names"),
    "convert": ("convert", "convert"),
    "validate": ("validate", "validate"),
}


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _PUBLIC[name]
    return getattr(import_module(f".{module}", __name__), attribute)


class _Face(ModuleType):
    """Importing the submodule `convert` must not put it where users find the function `convert`."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in _PUBLIC:
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Face
