"""Numbers that a module keeps in tensors: what is counted with them while it is traced stays a size.

Convolutions of audio codecs keep their stride and kernel size in buffers, and count with them how far to pad: for
torch.export the result is a number that depends on data, although it follows from the length of the input.
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree
from torch.utils.weak import WeakIdKeyDictionary

Number = Any  # int or torch.SymInt


@dataclass(frozen=True, slots=True)
class Ratio:
    """A whole number divided by another, exactly."""

    above: Number
    below: int


def _sum(a: Any, b: Any) -> Any:
    if isinstance(a, Ratio) or isinstance(b, Ratio):
        whole, ratio = (b, a) if isinstance(a, Ratio) else (a, b)
        return None if isinstance(whole, Ratio) else Ratio(ratio.above + whole * ratio.below, ratio.below)
    return a + b


def _product(a: Any, b: Any) -> Any:
    return None if isinstance(a, Ratio) or isinstance(b, Ratio) else a * b


def _quotient(a: Any, b: Any) -> Any:
    return Ratio(a, b) if type(b) is int and b > 0 and not isinstance(a, Ratio) else None


def _negative(a: Any) -> Any:
    return Ratio(-a.above, a.below) if isinstance(a, Ratio) else -a


def _difference(a: Any, b: Any) -> Any:
    return _sum(a, _negative(b))


def _ceil(a: Any) -> Any:
    return -(-a.above // a.below) if isinstance(a, Ratio) else a


RULES: dict[str, Callable[..., Any]] = {
    "add": _sum,
    "radd": _sum,
    "sub": _difference,
    "rsub": lambda a, b: _difference(b, a),
    "mul": _product,
    "rmul": _product,
    "div": _quotient,
    "truediv": _quotient,
    "neg": _negative,
    "ceil": _ceil,
}


@contextlib.contextmanager
def counted(module: nn.Module) -> Iterator[None]:
    """Integers that the module keeps in tensors, and what follows from them and from sizes, are known inside."""
    buffers, known = [], WeakIdKeyDictionary()
    for child in module.modules():
        for name, tensor in [*child._buffers.items(), *vars(child).items()]:
            if isinstance(tensor, torch.Tensor) and _is_number(tensor) and tensor.device.type == "cpu":
                known[tensor] = tensor.item()
                buffers.append((child, name, known[tensor]))
    with _Counting(buffers, known) if buffers else contextlib.nullcontext():
        yield


def _is_number(tensor: torch.Tensor) -> bool:
    return not tensor.ndim and tensor.dtype == torch.int64


class _Counting(TorchFunctionMode):
    def __init__(self, buffers: list[tuple[nn.Module, str, int]], known: WeakIdKeyDictionary) -> None:
        super().__init__()
        self.buffers = buffers  # the tracer puts others in their place, under the same names
        self.known = known

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if name.endswith("_") and not name.startswith("_") and args and isinstance(args[0], torch.Tensor):
            self.known[args[0]] = None  # it is changed in place
        value = None
        if name == "pad":
            args, kwargs = pytree.tree_map(self._as_size, (args, kwargs))
        elif name == "to" and args[1:] == (torch.int64,):
            value = self._value(args[0])
        elif (rule := RULES.get(name.strip("_"))) and not kwargs and any(isinstance(a, torch.Tensor) for a in args):
            values = [self._value(arg) for arg in args]
            value = None if None in values else rule(*values)
        result = func(*args, **kwargs)
        if value is not None and isinstance(result, torch.Tensor):
            self.known[result] = value
        return result

    def _as_size(self, item: Any) -> Any:
        value = self._value(item) if isinstance(item, torch.Tensor) else None
        return item if value is None or isinstance(value, Ratio) else value

    def _value(self, item: Any) -> Any:
        """The number that an argument is; None if it is not known."""
        if isinstance(item, int | torch.SymInt) and not isinstance(item, bool):
            return item
        if not isinstance(item, torch.Tensor) or item.ndim:
            return None
        if item not in self.known:
            same = (value for child, name, value in self.buffers if child._buffers.get(name) is item)
            self.known[item] = next(same, None)
        return self.known[item]
