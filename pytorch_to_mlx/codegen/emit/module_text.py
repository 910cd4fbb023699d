"""The text of a generated `model.py`: imports, helper functions, classes, a loader; formatted by ruff."""

import ast
import importlib
import inspect
import subprocess
import sys
from collections.abc import Iterable
from functools import cache
from types import ModuleType
from typing import Any

from ...errors import MissingExtraError, UsageError
from ..lowering.functions import find

MLX = "import mlx.core as mx\nimport mlx.nn as nn"
LOADER = '''
def load(folder: str = ".") -> {name}:
    """The model with the weights of a converted folder, ready to be called."""
    weights = {{}}
    for file in sorted(Path(folder).glob("model*.safetensors")):
        weights.update(mx.load(str(file)))
    config = json.loads((Path(folder) / "config.json").read_text())
    model = {name}({sizes})
    quantization = config.get("quantization")
    if quantization:
        nn.quantize(
            model,
            quantization["group_size"],
            quantization["bits"],
            class_predicate=lambda path, _: f"{{path}}.scales" in weights,
        )
    model.load_weights(list(weights.items()))
    model.eval()
    return model
'''


def module_text(
    classes: list[ast.ClassDef],
    helpers: set[str],
    title: str,
    user_classes: Iterable[type] = (),
    *,
    has_sizes: bool = False,
) -> str:
    """Return a whole `model.py`.

    classes: the last one is the model itself. title: its docstring. helpers: names of the helper functions that it
    calls. user_classes: registered classes. Helpers and registered classes are copied, with all that they use.
    has_sizes: config.json holds what the model is constructed with.
    Raises: UsageError for registered code that cannot be copied.
    """
    code = "\n\n\n".join(ast.unparse(ast.fix_missing_locations(item)) for item in classes)
    code += "\n\n" + LOADER.format(name=classes[-1].name, sizes='**config["sizes"]' if has_sizes else "")
    helper_text, imports = helper_source(helpers, user_classes)
    imports |= {"import json", "from pathlib import Path"}
    if "math." in code:
        imports.add("import math")
    head = [
        f'"""{title}"""',
        "\n".join(sorted(imports, key=lambda line: (line.startswith("from"), line))),
        MLX,
        helper_text,
    ]
    return formatted("\n\n".join(part for part in [*head, code] if part))


def formatted(text: str) -> str:
    """Return Python source as ruff formats it."""
    from ruff.__main__ import find_ruff_bin

    command = [find_ruff_bin(), "format", "--isolated", "--line-length", "120", "--stdin-filename", "model.py", "-"]
    process = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    if process.returncode:
        raise AssertionError(f"the generated source is not Python: {process.stderr}\n{text}")
    return process.stdout


def require_ruff() -> None:
    """Raise MissingExtraError if ruff is not installed."""
    try:
        importlib.import_module("ruff")
    except ImportError as error:
        raise MissingExtraError("ruff", "validate", needed_for="writing formatted source") from error


def helper_source(names: set[str], user_classes: Iterable[type] = ()) -> tuple[str, set[str]]:
    """Return copies of helper functions and users' classes, with all that they use, and the imports that they need.

    Raises: UsageError for code that is not at the top level of a file, or that imports other packages than MLX.
    """
    texts: dict[str, str] = {}  # by name, each after what it uses
    imports: set[str] = set()

    def add(name: str, module: ModuleType) -> None:
        if name in texts:
            return
        definitions, origins = _definitions(module)
        if name not in definitions:
            origin = origins.get(name)
            if origin is None:  # a local variable or a builtin
                return
            if origin.startswith(("import ", "from ")):
                if origin not in (*MLX.splitlines(), "from mlx import nn"):
                    _check_import(origin, module)
                    imports.add(origin)
                return
            add(name, importlib.import_module(origin))
            return
        node, text = definitions[name]
        texts[name] = ""  # functions may call each other
        for part in ast.walk(node):
            if isinstance(part, ast.Name) and part.id != name:
                add(part.id, module)
        del texts[name]
        texts[name] = text

    for name in sorted(names):
        add(name, _module_of(find(name)))
    for user_class in user_classes:
        add(user_class.__name__, _module_of(user_class))
    constants = [text for text in texts.values() if not text.startswith(("def ", "class "))]
    functions = [text for text in texts.values() if text.startswith(("def ", "class "))]
    return "\n\n\n".join([*constants, *functions]), imports


def _module_of(item: Any) -> ModuleType:
    """Return the module that defines a function or a class at its top level."""
    module = inspect.getmodule(item)
    if module is None or item.__name__ not in _definitions(module)[0]:
        raise UsageError(f"{item.__qualname__} is not at the top level of a Python file", fix="move it there")
    return module


def _check_import(line: str, module: ModuleType) -> None:
    """Refuse an import of anything but MLX and the standard library."""
    (statement,) = ast.parse(line).body
    if isinstance(statement, ast.ImportFrom):
        names = [statement.module or ""]
    else:
        assert isinstance(statement, ast.Import)
        names = [alias.name for alias in statement.names]
    if any(name.partition(".")[0] not in {"mlx", *sys.stdlib_module_names} for name in names):
        raise UsageError(
            f"registered code uses {line!r}", where=module.__file__, fix="use MLX and the standard library only"
        )


@cache
def _definitions(module: ModuleType) -> tuple[dict[str, tuple[ast.stmt, str]], dict[str, str]]:
    """Return functions, classes and constants of a module with their source, and where its other names come from.

    That is an import statement, or for a relative import the module.
    """
    source = inspect.getsource(module)
    definitions: dict[str, tuple[ast.stmt, str]] = {}
    origins: dict[str, str] = {}
    for node in ast.parse(source).body:
        text = ast.get_source_segment(source, node) or ""
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            node.decorator_list = []  # they register, and are not in `text`
            definitions[node.name] = (node, text)
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            definitions[node.targets[0].id] = (node, text)
        elif isinstance(node, ast.Import):
            origins |= {(alias.asname or alias.name).split(".")[0]: text for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if node.level:
                    origins[alias.name] = f"{module.__package__}.{node.module}"
                else:
                    origins[alias.name] = text
    return definitions, origins
