"""Modules of other PyPI packages, with the weights they ship where they ship any."""

import warnings
from collections.abc import Callable
from typing import Any

from torch import nn

from ..capture import quiet
from .modules import ModuleResult, measure_module, randomize
from .op_samples import FAILURES

Case = tuple[tuple, dict[str, Any]]
MODULES: dict[str, Callable[[], tuple[nn.Module, list[Case], bool]]] = {}


def package(name: str) -> Callable:
    """Register a factory: () -> (module, cases, whether the weights are the package's own)."""

    def register(function: Callable) -> Callable:
        MODULES[name] = function
        return function

    return register


def measure_package(name: str) -> ModuleResult:
    """One package's module through the whole path."""
    result = ModuleResult(name)
    with quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            module, cases, real = MODULES[name]()
            module.eval()
            if not real:
                randomize(module)
        except (*FAILURES, ImportError) as error:
            result.reason = f"not built: {type(error).__name__}: {' '.join(str(error).split())[:300]}"
            return result
        return measure_module(result, module, cases[0], cases[1:])
