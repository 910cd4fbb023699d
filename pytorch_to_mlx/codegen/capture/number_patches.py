"""Keep numbers that code computes from sizes dynamic while a module is traced: `int`, `float`, `round`, `min`, `math` …

Python's own make plain numbers of sizes, or branch on them. The names are replaced in the module's own files.
"""

import ast
import contextlib
import functools
import inspect
import math
from collections.abc import Callable, Iterable, Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import torch

SIZES = (torch.SymInt, torch.SymFloat)


class _NumberLike(type):
    """Calls of `int` or `float` that leave sizes sizes; everything else is asked of Python's own."""

    original: type
    of_size: Callable

    def __instancecheck__(cls, item: Any) -> bool:
        return isinstance(item, cls.original)

    def __subclasscheck__(cls, item: Any) -> bool:
        return issubclass(item, cls.original)

    def __call__(cls, *args: Any, **options: Any) -> Any:
        is_size = len(args) == 1 and isinstance(args[0], SIZES)
        return cls.of_size(args[0]) if is_size else cls.original(*args, **options)


class DynamicInt(metaclass=_NumberLike):
    """`int` for files that only convert with it and ask `isinstance`."""

    original = int
    of_size = torch.sym_int


class DynamicFloat(metaclass=_NumberLike):
    """`float` for such files."""

    original = float
    of_size = torch.sym_float


def dynamic_round(number: Any, digits: Any = None) -> Any:
    """Round to a whole number, of a size to a size."""
    if isinstance(number, torch.SymInt) and digits is None:
        return number
    return round(number) if digits is None else round(number, digits)


def _extreme(original: Callable, of_two: Callable) -> Callable:
    """Return `min` or `max` that takes sizes without asking which is the larger."""

    @functools.wraps(original)
    def extreme(*args: Any, **options: Any) -> Any:
        numbers = args[0] if len(args) == 1 and isinstance(args[0], list | tuple) else args
        is_dynamic = not options and any(isinstance(number, SIZES) for number in numbers)
        if is_dynamic and all(isinstance(number, (int, float, *SIZES)) for number in numbers):
            return functools.reduce(of_two, numbers)
        return original(*args, **options)

    return extreme


def _rounding(name: str) -> Callable:
    original = getattr(math, name)
    return lambda number: number if isinstance(number, torch.SymInt) else original(number)


MATH = {name: _rounding(name) for name in ("ceil", "floor", "trunc")} | {
    "sqrt": lambda number: torch.sym_sqrt(number) if isinstance(number, SIZES) else math.sqrt(number)
}
TYPES = {"int": DynamicInt, "float": DynamicFloat}
BUILTINS: dict[str, Any] = {
    "round": dynamic_round,
    "min": _extreme(min, torch.sym_min),
    "max": _extreme(max, torch.sym_max),
}


@contextlib.contextmanager
def dynamic_numbers(files: Iterable[ModuleType]) -> Iterator[None]:
    """Put functions that keep sizes in place of Python's, in the globals of some files."""
    with contextlib.ExitStack() as stack:
        for file in files:
            for name, new in _replacements(file).items():
                if name in vars(file):
                    stack.callback(setattr, file, name, vars(file)[name])
                else:
                    stack.callback(delattr, file, name)
                setattr(file, name, new)
        yield


def _replacements(file: ModuleType) -> dict[str, Any]:
    """Return what to put for the names of a file: builtins that it does not define, and what it has of `math`."""
    names: dict[str, Any] = {name: new for name, new in BUILTINS.items() if name not in vars(file)}
    names |= {name: new for name, new in TYPES.items() if name not in vars(file) and _only_converts(file, name)}
    for name, item in vars(file).items():
        if item is math:
            names[name] = SimpleNamespace(**{**vars(math), **MATH})
        elif (short := getattr(item, "__name__", "")) in MATH and item is getattr(math, short):
            names[name] = MATH[short]
    return names


@functools.cache
def _only_converts(file: ModuleType, name: str) -> bool:
    """Tell whether functions use a type to convert, to ask `isinstance`, as a `type=` and in annotations alone.

    Elsewhere, as where it is a dtype, it must be Python's. What stands outside of functions ran at import.
    """
    try:
        tree = ast.parse(inspect.getsource(file))
    except (OSError, SyntaxError, TypeError):
        return False
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    inside = {part for function in functions for line in function.body for part in ast.walk(line)}
    allowed: set[ast.AST] = set()
    for node in inside:
        parts: list[Any] = []
        match node:
            case ast.Call(func=ast.Name("isinstance" | "issubclass")):
                parts = node.args[1:]
            case ast.Call(func=ast.Name("map")):
                parts = node.args[:1]
            case ast.Call(func=ast.Name()):
                parts = [node.func]
            case ast.keyword(arg="type"):
                parts = [node.value]
            case ast.arg() | ast.AnnAssign():
                parts = [node.annotation]
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                parts = [node.returns]
        allowed.update(part for tree in parts if tree is not None for part in ast.walk(tree))
    uses = (node for node in inside if isinstance(node, ast.Name) and node.id == name)
    return all(use in allowed for use in uses)
