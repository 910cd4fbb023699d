"""What torch has and MLX has not, in plain MLX. Generated source carries a copy of the ones it uses.

Every function here depends only on `mlx.core`, the standard library and other functions of this package.
"""

from collections.abc import Callable
from functools import cache
from importlib import import_module

MODULES = (
    "numbers",
    "special",
    "polynomials",
    "axes",
    "scatter",
    "sort",
    "matrices",
    "resize",
    "pooling",
    "convolution",
    "norm",
    "losses",
    "recurrent",
    "attention",
    "spectral",
    "linalg",
    "ldl",
)


@cache
def find(name: str) -> Callable:
    """The helper function of that name."""
    for module in MODULES:
        found = getattr(import_module(f".{module}", __name__), name, None)
        if callable(found):
            return found
    raise AttributeError(f"no helper function {name}")
