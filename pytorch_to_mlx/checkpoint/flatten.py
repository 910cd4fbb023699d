"""Give the tensors of a pickle's nested containers their dotted names."""

from pathlib import Path
from typing import Any

from ..errors import FormatError
from .budget import Budget
from .files import quote
from .pickle_machine import KEYS, Dtype, Tensor


class _Flattener:
    """Walk nested containers and collect their leaves, within a budget that shared and cyclic containers run into."""

    def __init__(self, where: str | Path, budget: Budget) -> None:
        self.where, self.budget = where, budget
        self.tensors: dict[str, Tensor] = {}
        self.extra: dict[str, Any] = {}

    def walk(self, value: Any, path: tuple[str, ...]) -> None:
        if len(path) > 64:
            raise FormatError("containers are nested too deep or refer to themselves", where=self.where)
        if isinstance(value, (dict, list, tuple)):
            self.budget.spend(1 + 4 * len(value))
        if isinstance(value, dict):
            for key, child in value.items():
                self.walk(child, (*path, str(key)))
        elif isinstance(value, (list, tuple)) and any(isinstance(item, (dict, list, tuple, Tensor)) for item in value):
            for index, child in enumerate(value):
                self.walk(child, (*path, str(index)))
        else:
            self.add(value, self.budget.name(".".join(path)))

    def add(self, value: Any, name: str) -> None:
        if name in self.tensors or name in self.extra:
            raise FormatError(f"the key {quote(name)} occurs twice once nested dicts are joined", where=self.where)
        if isinstance(value, Tensor):
            self.tensors[name or "tensor"] = value
        elif isinstance(value, (str, int, float, bool, type(None))):
            self.extra[name] = value
        elif isinstance(value, (list, tuple)):
            self.extra[name] = [item if isinstance(item, KEYS) else _kind(item) for item in value]
        else:
            self.extra[name] = _kind(value)


def _kind(value: object) -> str:
    return value.name if isinstance(value, Dtype) else type(value).__name__


def flatten(value: Any, *, where: str | Path, budget: Budget) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors of nested dicts and lists by dotted names, and everything else likewise.

    A bare tensor gets the name "tensor".
    Raises: FormatError for two values of one name, for nesting that is too deep, and where the budget is spent.
    """
    walker = _Flattener(where, budget)
    walker.walk(value, ())
    return walker.tensors, walker.extra
