"""Keep arithmetic on integer buffers symbolic while a module is traced.

Convolutions of audio codecs hold their stride and kernel size in buffers, and compute from them how far to pad: for
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
    """An exact fraction of a whole number."""

    numerator: Number
    denominator: int


def _sum(a: Any, b: Any) -> Any:
    if isinstance(a, Ratio) or isinstance(b, Ratio):
        number, ratio = (b, a) if isinstance(a, Ratio) else (a, b)
        if isinstance(number, Ratio):
            return None
        return Ratio(ratio.numerator + number * ratio.denominator, ratio.denominator)
    return a + b


def _product(a: Any, b: Any) -> Any:
    return None if isinstance(a, Ratio) or isinstance(b, Ratio) else a * b


def _quotient(a: Any, b: Any) -> Any:
    return Ratio(a, b) if type(b) is int and b > 0 and not isinstance(a, Ratio) else None


def _negative(a: Any) -> Any:
    return Ratio(-a.numerator, a.denominator) if isinstance(a, Ratio) else -a


def _difference(a: Any, b: Any) -> Any:
    return _sum(a, _negative(b))


def _ceil(a: Any) -> Any:
    return -(-a.numerator // a.denominator) if isinstance(a, Ratio) else a


# By name of the torch function, without underscores: its result on numbers and ratios, None where it is not computed.
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
def symbolic_buffers(module: nn.Module) -> Iterator[None]:
    """Keep integers that the module holds in tensors, and what is computed from them and from sizes, as numbers."""
    buffers, numbers = [], WeakIdKeyDictionary()
    for child in module.modules():
        for name, tensor in [*child._buffers.items(), *vars(child).items()]:
            if isinstance(tensor, torch.Tensor) and _is_number(tensor) and tensor.device.type == "cpu":
                numbers[tensor] = tensor.item()
                buffers.append((child, name, numbers[tensor]))
    with _BufferArithmetic(buffers, numbers) if buffers else contextlib.nullcontext():
        yield


def _is_number(tensor: torch.Tensor) -> bool:
    return not tensor.ndim and tensor.dtype == torch.int64


class _BufferArithmetic(TorchFunctionMode):
    """Compute with numbers beside tensors, and pass the numbers to `pad`, which takes sizes."""

    def __init__(self, buffers: list[tuple[nn.Module, str, int]], numbers: WeakIdKeyDictionary) -> None:
        super().__init__()
        self.buffers = buffers  # by name, because the tracer puts tensors of its own in their place
        self.numbers = numbers  # tensor -> its number, None where it is not known

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: Any = None) -> Any:
        """Run a torch function, and note the number that its result holds."""
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if name.endswith("_") and not name.startswith("_") and args and isinstance(args[0], torch.Tensor):
            self.numbers[args[0]] = None  # changed in place
        number = None
        if name == "pad":
            args, kwargs = pytree.tree_map(self._as_size, (args, kwargs))
        elif name == "to" and args[1:] == (torch.int64,):
            number = self._number(args[0])
        elif (rule := RULES.get(name.strip("_"))) and not kwargs and any(isinstance(a, torch.Tensor) for a in args):
            operands = [self._number(arg) for arg in args]
            number = None if None in operands else rule(*operands)
        result = func(*args, **kwargs)
        if number is not None and isinstance(result, torch.Tensor):
            self.numbers[result] = number
        return result

    def _as_size(self, item: Any) -> Any:
        """Return the number of a tensor that holds one; anything else unchanged."""
        number = self._number(item) if isinstance(item, torch.Tensor) else None
        return item if number is None or isinstance(number, Ratio) else number

    def _number(self, item: Any) -> Any:
        """Return the number that an argument is or holds; None if it is not known."""
        if isinstance(item, int | torch.SymInt) and not isinstance(item, bool):
            return item
        if not isinstance(item, torch.Tensor) or item.ndim:
            return None
        if item not in self.numbers:
            matches = (number for child, name, number in self.buffers if child._buffers.get(name) is item)
            self.numbers[item] = next(matches, None)
        return self.numbers[item]
