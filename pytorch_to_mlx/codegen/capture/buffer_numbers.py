"""Keep arithmetic on integer buffers symbolic while a module is traced, and read whole numbers and flags from buffers.

Convolutions of audio codecs hold their stride and kernel size in buffers, and compute from them how far to pad: for
torch.export the result is a number that depends on data, although it follows from the length of the input. Decoders
hold in one how many frames they make at a time, layers whether they are initialised.
"""

import contextlib
from collections.abc import Callable, Collection, Iterator
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
READS: dict[str, Callable[[int], Any]] = {"item": lambda n: n, "__int__": int, "__index__": int, "__bool__": bool}
"""What makes a plain number of a tensor, with how it is made of the tensor's number."""


@contextlib.contextmanager
def symbolic_buffers(module: nn.Module, changing: Collection[str] = ()) -> Iterator[set[str]]:
    """Keep integers that the module holds in tensors, and what is computed from them and from sizes, as numbers.

    `item`, `int` and `bool` of a buffer give its number, but for those `changing`, which the module changes. Yields the
    names of the buffers read so, a set that grows.
    """
    buffers, numbers = [], WeakIdKeyDictionary()
    for path, child in module.named_modules():
        for name, tensor in [*child._buffers.items(), *vars(child).items()]:
            if isinstance(tensor, torch.Tensor) and _is_number(tensor) and tensor.device.type == "cpu":
                buffers.append(_Buffer(child, name, f"{path}.{name}".lstrip("."), int(tensor.item())))
                numbers[tensor] = buffers[-1].number if _in_arithmetic(tensor) else None
    mode = _BufferArithmetic(buffers, numbers, changing)
    with mode if buffers else contextlib.nullcontext():
        yield mode.names_read


def _is_number(tensor: torch.Tensor) -> bool:
    return tensor.numel() == 1 and not (tensor.is_floating_point() or tensor.is_complex()) and not tensor.is_meta


def _in_arithmetic(tensor: torch.Tensor) -> bool:
    return not tensor.ndim and tensor.dtype == torch.int64


@dataclass(frozen=True, slots=True)
class _Buffer:
    """A buffer by name, because the tracer puts tensors of its own in its place."""

    owner: nn.Module
    name: str
    path: str
    number: int

    def holds(self, tensor: torch.Tensor) -> bool:
        return self.owner._buffers.get(self.name) is tensor


class _BufferArithmetic(TorchFunctionMode):
    """Compute with numbers beside tensors, and pass the numbers to `pad`, which takes sizes."""

    def __init__(self, buffers: list[_Buffer], numbers: WeakIdKeyDictionary, changing: Collection[str]) -> None:
        super().__init__()
        self.buffers = buffers
        self.numbers = numbers  # tensor -> its number, None where it is not known
        self.changed = WeakIdKeyDictionary()
        self.changing = changing
        self.names_read: set[str] = set()

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: Any = None) -> Any:
        """Run a torch function, and note the number that its result holds."""
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if _is_in_place(name) and args and isinstance(args[0], torch.Tensor):
            self.numbers[args[0]] = None
            self.changed[args[0]] = True
        if name in READS and len(args) == 1 and not kwargs:
            buffer = next((buffer for buffer in self.buffers if buffer.holds(args[0])), None)
            if buffer is not None and args[0] not in self.changed and buffer.path not in self.changing:
                self.names_read.add(buffer.path)
                return READS[name](buffer.number)
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
            matches = (buffer.number for buffer in self.buffers if buffer.holds(item) and _in_arithmetic(item))
            self.numbers[item] = next(matches, None)
        return self.numbers[item]


def _is_in_place(name: str) -> bool:
    """Tell whether a torch function of this name changes its first argument: `add_`, `__iadd__`, `__setitem__`."""
    if name.startswith("__"):
        return name == "__setitem__" or (name.startswith("__i") and name not in ("__int__", "__index__", "__invert__"))
    return name.endswith("_") and not name.startswith("_")
