"""Functions that torch has and MLX lacks, in plain MLX. Generated source carries a copy of those it uses.

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
    "noise",
)

_USER_FUNCTIONS: dict[str, Callable] = {}  # functions that the user registers


def add(function: Callable) -> None:
    """Let generated source call a user's function, of which it then carries a copy.

    Raises: UsageError if a function of this package has that name.
    """
    name = function.__name__
    if _builtin(name) is not None:
        raise UsageError(f"there is a helper function {name!r} already", fix="give yours another name")
    _USER_FUNCTIONS[name] = function


def find(name: str) -> Callable:
    """Return the helper function of that name, the user's or one of this package.

    Raises: AttributeError if there is none, as `fn.NAME` in a lowering should.
    """
    function = _USER_FUNCTIONS.get(name) or _builtin(name)
    if function is None:
        raise AttributeError(f"no helper function {name}")
    return function


@cache
def _builtin(name: str) -> Callable | None:
    for module in MODULES:
        function = getattr(import_module(f".{module}", __name__), name, None)
        if callable(function):
            return function
    return None
