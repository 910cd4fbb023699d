"""What a user adds: the MLX form of an op, or a whole MLX module for a torch class. Importing this imports no torch.

Both are plain MLX at the top level of a Python file; generated source carries a copy of them and of what they use.
"""

import functools
import importlib.util
import sys
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

import mlx.core as mx
from mlx import nn

from ..errors import PortError, UsageError

C = TypeVar("C", bound=type[nn.Module])
F = TypeVar("F", bound=Callable)
Arrays = Mapping[str, mx.array]


@dataclass(frozen=True)
class Replacement:
    """An MLX module class that stands for a torch class. arguments and weights: see `register_module`."""

    mlx_class: type
    arguments: Callable[[Any], Mapping[str, Any]] | None
    weights: Callable[[dict[str, mx.array]], Arrays] | None


_MODULES: dict[str, Replacement] = {}
_FILES: dict[tuple[Path, int], ModuleType] = {}


def register_module(
    torch_class: type | str,
    *,
    arguments: Callable[[Any], Mapping[str, Any]] | None = None,
    weights: Callable[[dict[str, mx.array]], Arrays] | None = None,
) -> Callable[[C], C]:
    """Use the decorated MLX class wherever a model holds the torch class. It is proved like any other submodule.

    `__call__` takes the tensors that `forward` takes, under the same names, and returns an array, or a flat tuple of
    arrays in forward's order.

    Args:
        torch_class: the class, or its name "package.module.Class".
        arguments: maps the torch module to the keyword arguments of the MLX class.
        weights: maps the torch module's state {name: array, in torch's layout} to that of the MLX class; by default
            names and layouts are the same.

    Raises: UsageError if the decorated object is not a subclass of mlx.nn.Module.
    """
    name = torch_class if isinstance(torch_class, str) else class_name(torch_class)

    def register(mlx_class: C) -> C:
        if not (isinstance(mlx_class, type) and issubclass(mlx_class, nn.Module)):
            raise UsageError(f"{mlx_class!r} is not a subclass of mlx.nn.Module", fix="register a class that is")
        _MODULES[name] = Replacement(mlx_class, arguments, weights)
        return mlx_class

    return register


def register_op(*names: str) -> Callable[[F], F]:
    """Use the decorated function for ops of torch, "library::op" or "library.op.overload".

    The function is plain MLX, and takes the op's arguments under their schema names, "self" and "input" as x.

    Raises: UsageError for a name that is not an op name, or an op that this project lowers itself.
    """
    ops = [op_name(name) for name in names]

    def register(function: F) -> F:
        from .lowering.functions import add
        from .lowering.ops.op_table import register_user
        from .lowering.recorder import recordable

        add(function)

        @functools.wraps(function)
        def lowering(**arguments: Any) -> Any:
            return recordable(function)(**arguments)

        for op in ops:
            register_user(op, lowering)
        return function

    return register


def op_name(name: str) -> str:
    """Spell an op as torch's graphs do: "library::op" becomes "library.op.default".

    Raises: UsageError for any other form.
    """
    library, _, rest = name.partition("::")
    if rest:
        name = f"{library}.{rest}" if "." in rest else f"{library}.{rest}.default"
    if name.count(".") != 2:
        raise UsageError(f"{name!r} is not an op name", fix='write "library::op" or "library.op.overload"')
    return name


def class_name(kind: type) -> str:
    """Return a class's name with its package, "package.module.Class"."""
    return f"{kind.__module__}.{kind.__qualname__}"


def replacement_for(name: str) -> Replacement | None:
    """Look up what was registered for a torch class, by its full name."""
    return _MODULES.get(name)


def forget(name: str) -> None:
    """Remove the registration of a torch class, by its full name."""
    _MODULES.pop(name, None)


def load_file(path: str | Path) -> ModuleType:
    """Run one of the user's Python files, once for each version of it.

    Raises: UsageError if there is no such file; if it raises, with the line that did.
    """
    path = Path(path)
    if not path.is_file():
        raise UsageError(f"no file {path}")
    version = path.resolve(), path.stat().st_mtime_ns
    if version not in _FILES:
        name = path.stem if path.stem not in sys.modules else f"{path.stem}_{len(_FILES) + 1}"
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None and spec.loader is not None
        module = sys.modules[name] = importlib.util.module_from_spec(spec)
        with UserCode(str(path)):
            try:
                spec.loader.exec_module(module)
                _FILES[version] = module
            finally:
                if version not in _FILES:
                    del sys.modules[name]
    return _FILES[version]


def load_extensions(files: Iterable[str | Path] | None) -> list[str]:
    """Run the files of `--extend` and return their names."""
    names = [str(file) for file in files or ()]
    for name in names:
        load_file(name)
    return names


class UserCode:
    """Run user code inside; report its exceptions as one-line errors. what: the code's name in the error.

    Warnings that what it calls will change are for its authors, and are not shown.
    Raises: UsageError in place of any exception but this project's own.
    """

    def __init__(self, what: str) -> None:
        self.what = what
        self._warnings = warnings.catch_warnings()

    def __enter__(self) -> None:
        self._warnings.__enter__()
        warnings.simplefilter("ignore", FutureWarning)
        warnings.simplefilter("ignore", DeprecationWarning)

    def __exit__(self, kind: type | None, error: BaseException | None, trace: Any) -> None:
        self._warnings.__exit__(None, None, None)
        if isinstance(error, Exception) and not isinstance(error, PortError):
            raise user_error(error, self.what) from error


def user_error(error: Exception, what: str) -> UsageError:
    """Return an exception as a one-line error, with the innermost line of the user's own files."""
    line = None
    here = Path(__file__).parent
    trace = error.__traceback__
    while trace:
        file = trace.tb_frame.f_code.co_filename
        if "/site-packages/" not in file and not file.startswith("<") and here not in Path(file).parents:
            line = f"{file}:{trace.tb_lineno}"
        trace = trace.tb_next
    if isinstance(error, SyntaxError) and error.filename:
        line = f"{error.filename}:{error.lineno}"
    text = " ".join(str(error).split())[:300]
    return UsageError(f"{what} raised {type(error).__name__}: {text}", where=line)
