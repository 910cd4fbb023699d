"""What torch has and MLX has not, in plain MLX. Generated source carries a copy of the ones it uses.

Every function here depends only on `mlx.core`, the standard library and other functions of this package.
"""

from collections.abc import Callable
from functools import cache
from importlib import import_module

from ....errors import UsageError

MODULES = (
    "checks",
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


_ADDED: dict[str, Callable] = {}  # functions of the user's


def add(function: Callable) -> None:
    """Let generated source call a user's function, which it then carries a copy of."""
    name = function.__name__
    if _ours(name) is not None:
        raise UsageError(f"a helper function is called {name!r} already", fix="give yours another name")
    _ADDED[name] = function


def find(name: str) -> Callable:
    """The helper function of that name."""
    found = _ADDED.get(name) or _ours(name)
    if found is None:
        raise AttributeError(f"no helper function {name}")
    return found


@cache
def _ours(name: str) -> Callable | None:
    for module in MODULES:
        found = getattr(import_module(f".{module}", __name__), name, None)
        if callable(found):
            return found
    return None
