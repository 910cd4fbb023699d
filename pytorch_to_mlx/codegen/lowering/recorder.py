"""Write a lowering once, use it twice: run on arrays it computes, run on `Recorded` values it writes source.

A lowering uses `mx` and `fn` of this module as if they were `mlx.core` and the helper functions. While a `Recording` is
open, a call on a recorded value returns another recorded value: a Python syntax tree, and beside it the lazy MLX
array that MLX itself infers, which gives dtype and number of axes without computing anything.
"""

import ast
import inspect
import math
import operator
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import EllipsisType, ModuleType
from typing import Any

import mlx.core
import mlx.nn

from ..graph import Unsupported
from .functions import find

_BINARY = {
    "add": ast.Add(),
    "sub": ast.Sub(),
    "mul": ast.Mult(),
    "truediv": ast.Div(),
    "floordiv": ast.FloorDiv(),
    "mod": ast.Mod(),
    "pow": ast.Pow(),
    "matmul": ast.MatMult(),
    "and": ast.BitAnd(),
    "or": ast.BitOr(),
    "xor": ast.BitXor(),
    "lshift": ast.LShift(),
    "rshift": ast.RShift(),
}
_COMPARE = {"eq": ast.Eq(), "ne": ast.NotEq(), "lt": ast.Lt(), "le": ast.LtE(), "gt": ast.Gt(), "ge": ast.GtE()}
_UNARY = {"neg": ast.USub(), "invert": ast.Invert()}


class Recording:
    """The source that lowerings write: statements that bind intermediate values, and the helper functions they call."""

    def __init__(self) -> None:
        self.statements: list[ast.stmt] = []
        self.helpers: set[str] = set()
        self._names = 0

    def name(self, hint: str) -> str:
        """Return a new variable name."""
        self._names += 1
        return f"{hint}__{self._names}"


_RECORDING: ContextVar[Recording | None] = ContextVar("recording", default=None)


@contextmanager
def recording(into: Recording) -> Iterator[Recording]:
    """Let the lowerings called inside write source into `into`."""
    token = _RECORDING.set(into)
    try:
        yield into
    finally:
        _RECORDING.reset(token)


def is_recording() -> bool:
    """Return whether lowerings write source now."""
    return _RECORDING.get() is not None


class Recorded:
    """A value in generated source: its syntax tree, and a lazy stand-in value with its dtype and axes."""

    def __init__(self, tree: ast.expr, value: Any, shape: tuple | None = None) -> None:
        self.tree = tree
        self.value = value
        self.announced_shape = shape
        self.channels_last_form: Recorded | None = None  # the same array with channels last, where one exists

    @property
    def shape(self) -> tuple:
        """The sizes: numbers and Size values as announced, else each read from the array."""
        if self.announced_shape is not None:
            return self.announced_shape
        sizes = ast.Attribute(self.tree, "shape")
        return tuple(Size(ast.Subscript(sizes, ast.Constant(axis)), size) for axis, size in enumerate(self.value.shape))

    @property
    def dtype(self) -> mlx.core.Dtype:
        """The dtype that MLX infers."""
        return self.value.dtype

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return self.value.ndim

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self.value, name)
        tree = ast.Attribute(self.tree, name)
        if callable(attribute):
            return _Function(tree, attribute)
        return Recorded(tree, attribute)

    def __call__(self, *args: Any, **kwargs: Any) -> "Recorded":
        return _Function(self.tree, self.value)(*args, **kwargs)

    def __getitem__(self, index: Any) -> "Recorded":
        return Recorded(ast.Subscript(self.tree, to_tree(index)), self.value[to_value(index)])

    def __iter__(self) -> Iterator["Recorded"]:
        if not isinstance(self.value, list | tuple):
            raise Unsupported("iteration over an array")
        if isinstance(self.tree, ast.Call):  # bind the call once, whatever it returns
            self.tree = let("parts", self).tree
        return iter([self[i] for i in range(len(self.value))])

    def __len__(self) -> int:
        return len(self.value)

    def __repr__(self) -> str:
        return f"Recorded({ast.unparse(ast.fix_missing_locations(self.tree))})"

    __hash__ = object.__hash__


class Size(Recorded):
    """A size that only the generated source knows when it runs; `value` is the one in the example.

    expr: the same size as a sympy expression of the dynamic sizes, where that is known.
    """

    def __init__(self, tree: ast.expr, value: Any, shape: None = None, expr: Any = None) -> None:
        super().__init__(tree, value)
        self.expr = expr

    def __bool__(self) -> bool:
        raise Unsupported(f"a decision that depends on the dynamic size {ast.unparse(self.tree)}")

    __index__ = __int__ = __float__ = __bool__
    __hash__ = object.__hash__


def _operators() -> None:
    def binary(name: str, kind: ast.operator) -> None:
        compute = getattr(operator, {"and": "and_", "or": "or_"}.get(name, name))

        def forward(self: Recorded, other: Any) -> Recorded:
            return _result(
                self, other, ast.BinOp(self.tree, kind, to_tree(other)), compute(self.value, to_value(other))
            )

        def backward(self: Recorded, other: Any) -> Recorded:
            return _result(
                self, other, ast.BinOp(to_tree(other), kind, self.tree), compute(to_value(other), self.value)
            )

        setattr(Recorded, f"__{name}__", forward)
        setattr(Recorded, f"__r{name}__", backward)

    def compare(name: str, kind: ast.cmpop) -> None:
        compute = getattr(operator, name)

        def method(self: Recorded, other: Any) -> Recorded:
            tree = ast.Compare(self.tree, [kind], [to_tree(other)])
            return _result(self, other, tree, compute(self.value, to_value(other)))

        setattr(Recorded, f"__{name}__", method)

    def unary(name: str, kind: ast.unaryop) -> None:
        compute = getattr(operator, name)
        setattr(
            Recorded, f"__{name}__", lambda self: _result(self, 0, ast.UnaryOp(kind, self.tree), compute(self.value))
        )

    for name, kind in _BINARY.items():
        binary(name, kind)
    for name, kind in _COMPARE.items():
        compare(name, kind)
    for name, kind in _UNARY.items():
        unary(name, kind)


def _result(left: Any, right: Any, tree: ast.expr, value: Any) -> Recorded:
    if not isinstance(value, int | float):
        return Recorded(tree, value)
    return Size(tree, value)


_operators()


def to_value(item: Any) -> Any:
    """Return the stand-in value of anything that may hold recorded values."""
    if isinstance(item, Recorded):
        return item.value
    if isinstance(item, list | tuple):
        return type(item)(to_value(part) for part in item)
    if isinstance(item, dict):
        return {key: to_value(part) for key, part in item.items()}
    if isinstance(item, slice):
        return slice(to_value(item.start), to_value(item.stop), to_value(item.step))
    return item


def to_tree(item: Any) -> ast.expr:
    """Return the syntax tree that writes `item`. Raises: TypeError if there is none."""
    if isinstance(item, Recorded):
        return item.tree
    if isinstance(item, _Function):
        return item.tree
    if isinstance(item, mlx.core.Dtype):
        name = str(item).rpartition(".")[2]
        return ast.Attribute(ast.Name("mx"), "bool_" if name == "bool" else name)
    if isinstance(item, mlx.core.DeviceType):
        return ast.Attribute(ast.Name("mx"), item.name)
    if isinstance(item, bool | int | str | EllipsisType | None):
        if isinstance(item, int) and not isinstance(item, bool) and item < 0:
            return ast.UnaryOp(ast.USub(), ast.Constant(-item))
        return ast.Constant(item)
    if isinstance(item, float):
        return _float_tree(item)
    if isinstance(item, complex):
        return ast.Call(ast.Name("complex"), [_float_tree(item.real), _float_tree(item.imag)], [])
    if isinstance(item, list):
        return ast.List([to_tree(part) for part in item])
    if isinstance(item, tuple):
        return ast.Tuple([to_tree(part) for part in item])
    if isinstance(item, dict):
        return ast.Dict([to_tree(key) for key in item], [to_tree(part) for part in item.values()])
    if isinstance(item, slice):
        parts = [None if part is None else to_tree(part) for part in (item.start, item.stop, item.step)]
        return ast.Slice(*parts)
    if isinstance(item, mlx.core.array):
        return to_tree(mx.array(item.tolist(), item.dtype))
    raise TypeError(f"no source form for {type(item).__name__}")


def _float_tree(value: float) -> ast.expr:
    if math.isnan(value):
        return ast.Attribute(ast.Name("mx"), "nan")
    positive: ast.expr
    positive = ast.Attribute(ast.Name("mx"), "inf") if math.isinf(value) else ast.Constant(abs(value))
    return ast.UnaryOp(ast.USub(), positive) if math.copysign(1.0, value) < 0 else positive


class _Function:
    """A callable whose calls are written instead of only run."""

    def __init__(self, tree: ast.expr, function: Any) -> None:
        self.tree = tree
        self._function = function

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        value = self._function(*to_value(args), **to_value(kwargs))
        keywords = [ast.keyword(name, to_tree(item)) for name, item in kwargs.items()]
        return Recorded(ast.Call(self.tree, [to_tree(item) for item in args], keywords), value)

    def __getitem__(self, index: Any) -> "_Function":  # x.at[index]
        return _Function(ast.Subscript(self.tree, to_tree(index)), self._function[to_value(index)])

    def __getattr__(self, name: str) -> "_Function":
        return _Function(ast.Attribute(self.tree, name), getattr(self._function, name))


class _Helper(_Function):
    """A helper function, whose last arguments that are no arrays are written with their names."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        parameters = [
            p for p in inspect.signature(self._function).parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD
        ]
        first = len(args)
        while first > 1 and not _is_array(args[first - 1]):
            first -= 1
        if len(args) > len(parameters):  # *args, which have no names
            return super().__call__(*args, **kwargs)
        names = [parameter.name for parameter in parameters[first : len(args)]]
        return super().__call__(*args[:first], **dict(zip(names, args[first:], strict=True)), **kwargs)


def _is_array(item: Any) -> bool:
    return isinstance(item, mlx.core.array) or (isinstance(item, Recorded) and not isinstance(item, Size))


class _Namespace:
    """`mlx.core` as lowerings see it."""

    def __init__(self, tree: ast.expr, module: ModuleType) -> None:
        self._tree = tree
        self._module = module

    def __getattr__(self, name: str) -> Any:
        item = getattr(self._module, name)
        if isinstance(item, ModuleType) or name in {"linalg", "fft", "fast"}:
            return _Namespace(ast.Attribute(self._tree, name), item)
        if not is_recording() or not callable(item) or isinstance(item, mlx.core.Dtype):
            return item
        return _Function(ast.Attribute(self._tree, name), item)


class _Helpers:
    """The functions of `codegen.lowering.functions` as lowerings see them."""

    def __getattr__(self, name: str) -> Any:
        return recordable(find(name))


def recordable(function: Callable) -> Callable:
    """Return a helper function as lowerings call it: run on arrays, and while source is written, written into it."""
    recorder = _RECORDING.get()
    if recorder is None:
        return function
    recorder.helpers.add(function.__name__)
    return _Helper(ast.Name(function.__name__), function)


mx: Any = _Namespace(ast.Name("mx"), mlx.core)
nn: Any = _Namespace(ast.Name("nn"), mlx.nn)
fn: Any = _Helpers()


def let(name: str, value: Any) -> Any:
    """Bind a value that is used more than once to a local variable of the generated source."""
    recorder = _RECORDING.get()
    if recorder is None or not isinstance(value, Recorded) or isinstance(value.tree, ast.Name):
        return value
    variable = recorder.name(name)
    recorder.statements.append(ast.Assign([ast.Name(variable)], value.tree))
    if isinstance(value, Size):
        return Size(ast.Name(variable), value.value, expr=value.expr)
    return Recorded(ast.Name(variable), value.value, value.announced_shape)
