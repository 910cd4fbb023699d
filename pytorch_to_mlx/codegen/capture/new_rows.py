"""Rows of a tensor that the code has just made are read one by one while a module is traced.

`for row in torch.zeros(n, height, width): row[: k] = …` writes through the rows. torch puts rows of `unbind` back in a
way that makes numbers of all sizes; rows of `select` keep them.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakIdKeyDictionary

KINDS = ("zeros", "ones", "full", "empty")
NEW = {*KINDS, *(f"new_{kind}" for kind in KINDS), *(f"{kind}_like" for kind in KINDS)}


class _Rows(TorchFunctionMode):
    """Note the tensors that are made, and give the rows of those by `select`."""

    def __init__(self) -> None:
        super().__init__()
        self.new = WeakIdKeyDictionary()

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: Any = None) -> Any:
        """Run a torch function."""
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if name == "unbind" and args and args[0] in self.new:
            x, dim = args[0], kwargs.get("dim", args[1] if len(args) > 1 else 0)
            return tuple(x.select(dim, i) for i in range(x.shape[dim]))
        result = func(*args, **kwargs)
        if name in NEW:
            self.new[result] = True
        return result


@contextlib.contextmanager
def rows_one_by_one() -> Iterator[None]:
    """Read the rows of new tensors by `select`."""
    with _Rows():
        yield
