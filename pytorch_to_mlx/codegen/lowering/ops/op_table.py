"""The one table of ops. Analysis, interpreter and generator all ask it, so "supported" has one meaning."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import mlx.core

from ....errors import UsageError
from ...graph import Meta, Unsupported
from ..recorder import Recorded

MODULES = (
    "elementwise",
    "create",
    "reduction",
    "shape",
    "indexing",
    "scatter",
    "sort",
    "linear",
    "conv",
    "pooling",
    "resize",
    "norm",
    "attention",
    "activation",
    "loss",
    "recurrent",
    "fft",
    "linalg",
    "special",
    "random",
    "refused",
)


@dataclass(frozen=True, slots=True)
class Lowering:
    """How one ATen op is written in MLX.

    function: takes the op's arguments by their schema names, "self" and "input" as x. A parameter `result` receives
    the Meta (or the tuple of them) that torch announced for the result.
    module: the file of this package that defines it, USER for a user's. why_not: why the op is refused.
    """

    op: str
    function: Callable
    module: str
    why_not: str = ""

    def bind(self, arguments: dict[str, Any], result: Any) -> dict[str, Any]:
        """Return the keyword arguments for `function`.

        Raises: Unsupported if the op is refused, or if `function` does not take an argument that the node sets.
        """
        if self.why_not:
            raise Unsupported(f"{self.op} is refused: {self.why_not}")
        parameters = inspect.signature(self.function).parameters
        takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())  # "from"
        for name, value in arguments.items():
            if name not in parameters and not takes_any:
                raise Unsupported(f"{self.op}: argument {name}={_short(value)} is not implemented")
        return arguments | ({"result": result} if "result" in parameters else {})


USER = "user"
_TABLE: dict[str, Lowering] = {}


def lowers(*names: str) -> Callable[[Callable], Callable]:
    """Register a function as the lowering of ATen overloads, named without "aten." ("add.Tensor").

    Raises: ValueError if one of them has a lowering already.
    """

    def register(function: Callable) -> Callable:
        module = function.__module__.rpartition(".")[2]
        for name in names:
            op = _full_name(name)
            if op in _TABLE:
                raise ValueError(f"{op} is registered twice: {_TABLE[op].module} and {module}")
            _TABLE[op] = Lowering(op, function, module)
        return function

    return register


def register_user(op: str, function: Callable) -> None:
    """Register a user's function, anew or in place of an earlier one of the user's.

    Raises: UsageError if this package has a lowering of `op`.
    """
    current = table().get(op)
    if current is not None and current.module not in (USER, "random", "refused"):
        raise UsageError(f"{op} has a lowering already, in {current.module}")
    _TABLE[op] = Lowering(op, function, USER)


def refuse(why: str, *names: str) -> None:
    """Register ops that are refused on purpose."""
    for name in names:
        op = _full_name(name)
        _TABLE[op] = Lowering(op, _refused, "refused", why)


def _full_name(name: str) -> str:
    return name if name.count(".") > 1 else f"aten.{name}"


def _refused() -> None:
    raise AssertionError("bind refuses before this is called")


def table() -> dict[str, Lowering]:
    """Return every registered op."""
    for module in MODULES:
        import_module(f".{module}", __package__)
    return _TABLE


def find(op: str) -> Lowering:
    """Return the lowering of an op. Raises: Unsupported if there is none."""
    lowering = table().get(op)
    if lowering is None:
        raise Unsupported(f"{op} has no lowering", fix="register one: pytorch_to_mlx.codegen.register_op")
    return lowering


def lower(op: str, arguments: dict[str, Any], result: Any) -> Any:
    """Run the lowering of `op`, on arrays or on recorded values, and give its result the dtype torch announced.

    Raises: Unsupported if there is none, or if it does not implement one of the arguments.
    """
    lowering = find(op)
    return conform(lowering.function(**lowering.bind(arguments, result)), result)


def conform(value: Any, meta: Any) -> Any:
    """Cast a result (or each of several) to the announced dtype where MLX inferred another one."""
    if isinstance(meta, Meta):
        if isinstance(value, mlx.core.array | Recorded) and value.dtype != meta.dtype:
            return value.astype(meta.dtype)
        return value
    if not isinstance(meta, list | tuple):
        return value
    if isinstance(value, Recorded):
        pairs = zip(value.value, meta, strict=True)
        if all(not isinstance(item, Meta) or part.dtype == item.dtype for part, item in pairs):
            return value
    return [conform(part, item) for part, item in zip(value, meta, strict=True)]


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 60 else f"{text[:57]}..."
