"""Convert any PyTorch module into readable MLX source, with its proof. Importing this imports no torch."""

from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ..errors import MissingExtraError
from .extensions import load_extensions, register_module, register_op
from .folder import is_generated, original_not_given
from .sources.recognise import is_module_source, takes_architecture

__all__ = [
    "analyze",
    "convert",
    "is_generated",
    "is_module_source",
    "register_module",
    "register_op",
    "takes_architecture",
    "validate",
]


def analyze(
    module: Any,
    example_inputs: Any = (),
    *,
    methods: Mapping[str, Any] | None = None,
    extend: Sequence[str | Path] | None = None,
) -> Any:
    """Tell what of a module would convert to MLX source, and why not; nothing is converted or written.

    module: a torch module, or text: a factory, a `.pt2` file, a Hugging Face id or folder.
    example_inputs: a tensor, a tuple of arguments, a dict of keywords, or (tuple, dict).
    methods: such example inputs by method, for a module with several entry points: {"encode": x, "decode": (y, z)}.
    extend: Python files to run first, which register ops and modules.

    Raises: MissingExtraError where torch or ruff is not installed.
    """
    load_extensions(extend)
    return _import("analyze_module").analyze_module(_module_source(module, example_inputs, methods))


def convert(
    module: Any,
    mlx_path: str | Path,
    example_inputs: Any = (),
    *,
    methods: Mapping[str, Any] | None = None,
    **options: Any,
) -> Any:
    """Write MLX source and weights of a module, with the proof of every submodule. Arguments: see `analyze`.

    options: quantize, q_bits, q_group_size, force, extend, noise. `check()` of the result raises if anything differs.

    Raises: MissingExtraError where torch or ruff is not installed.
    """
    source = _module_source(module, example_inputs, methods)
    return _import("convert_module").convert_module(source, mlx_path, **options)


def validate(
    folder: str | Path,
    module: Any = None,
    example_inputs: Any = (),
    *,
    methods: Mapping[str, Any] | None = None,
    extend: Sequence[str | Path] | None = None,
    trust_folder: bool = False,
) -> Any:
    """Compare a generated folder with PyTorch again. Nothing that the folder names is run.

    module: the original: a torch module or text, as for `analyze`.
    trust_folder: run the folder's model.py even if it is not the code that the original gives now.

    Raises: UsageError where the original is not given, and says from what the folder was made; MissingExtraError where
    torch or ruff is not installed.
    """
    if module is None:
        raise original_not_given(Path(folder))
    source = _module_source(module, example_inputs, methods)
    return _import("convert_module").validate_folder(folder, source, extend=extend, trust_folder=trust_folder)


def _import(name: str) -> Any:
    """Import a file of this room that needs torch and ruff."""
    for package in ("torch", "ruff"):
        if find_spec(package) is None:
            raise MissingExtraError(package, "validate", needed_for="converting a PyTorch module")
    return import_module(f".{name}", __name__)


def _module_source(module: Any, example_inputs: Any, methods: Mapping[str, Any] | None) -> Any:
    """Return text as it is, and a module object with its example inputs as a ModuleSource."""
    module = str(module) if isinstance(module, Path) else module
    if module is None or isinstance(module, str):
        return module
    return _import("sources.module_source").from_object(module, example_inputs, methods)
