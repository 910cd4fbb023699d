"""The text of a generated module: imports, helper functions, classes, a loader; formatted by ruff."""

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
    model = {name}()
    quantization = json.loads((Path(folder) / "config.json").read_text()).get("quantization")
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


def module_text(classes: list[ast.ClassDef], helpers: set[str], title: str, users: Iterable[type] = ()) -> str:
    """A whole `model.py`. The last class is the model itself. users: registered classes, which are copied."""
    code = "\n\n\n".join(ast.unparse(ast.fix_missing_locations(item)) for item in classes)
    code += "\n\n" + LOADER.format(name=classes[-1].name)
    helper_text, imports = helper_source(helpers, users)
    imports |= {"import json", "from pathlib import Path"}
    for name in ("math",):
        if f"{name}." in code:
            imports.add(f"import {name}")
    head = [
        f'"""{title}"""',
        "\n".join(sorted(imports, key=lambda line: (line.startswith("from"), line))),
        MLX,
        helper_text,
    ]
    return formatted("\n\n".join(part for part in [*head, code] if part))


def formatted(text: str) -> str:
    """The text as ruff writes it."""
    from ruff.__main__ import find_ruff_bin

    command = [find_ruff_bin(), "format", "--isolated", "--line-length", "120", "--stdin-filename", "model.py", "-"]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        raise AssertionError(f"the generated source is not Python: {done.stderr}\n{text}")
    return done.stdout


def require_ruff() -> None:
    try:
        importlib.import_module("ruff")
    except ImportError as error:
        raise MissingExtraError("ruff", "validate", needed_for="writing formatted source") from error


def helper_source(names: set[str], users: Iterable[type] = ()) -> tuple[str, set[str]]:
    """Copies of helper functions, users' classes and all that they use; and the imports they need."""
    wanted: dict[str, str] = {}
    imports: set[str] = set()

    def add(name: str, module: ModuleType) -> None:
        if name in wanted:
            return
        definitions, known = _definitions(module)
        if name not in definitions:
            origin = known.get(name)
            if origin is None:
                return
            if origin.startswith("import") or origin.startswith("from "):
                if origin not in (*MLX.splitlines(), "from mlx import nn"):
                    _check_import(origin, module)
                    imports.add(origin)
                return
            add(name, importlib.import_module(origin))
            return
        node, text = definitions[name]
        wanted[name] = ""  # functions may call each other
        for part in ast.walk(node):
            if isinstance(part, ast.Name) and part.id != name:
                add(part.id, module)
        wanted[name] = wanted.pop(name) or text

    for name in sorted(names):
        function = find(name)
        add(name, _module_of(function))
    for user in users:
        add(user.__name__, _module_of(user))
    constants = [text for text in wanted.values() if not text.startswith(("def ", "class "))]
    functions = [text for text in wanted.values() if text.startswith(("def ", "class "))]
    return "\n\n\n".join([*constants, *functions]), imports


def _module_of(item: Any) -> ModuleType:
    """The module that defines a function or a class at its top level."""
    found = inspect.getmodule(item)
    if found is None or item.__name__ not in _definitions(found)[0]:
        raise UsageError(f"{item.__qualname__} is not at the top level of a Python file", fix="move it there")
    return found


def _check_import(line: str, module: ModuleType) -> None:
    """Generated source imports MLX and the standard library alone."""
    (statement,) = ast.parse(line).body
    names = [statement.module or ""] if isinstance(statement, ast.ImportFrom) else [a.name for a in statement.names]  # type: ignore[attr-defined]
    foreign = [name for name in names if name.partition(".")[0] not in {"mlx", *sys.stdlib_module_names}]
    if foreign:
        raise UsageError(f"registered code uses {line!r}", where=module.__file__, fix="use MLX and Python's own alone")


@cache
def _definitions(module: ModuleType) -> tuple[dict[str, tuple[ast.stmt, str]], dict[str, str]]:
    """Functions and constants of a module with their source, and where its other names come from."""
    source = inspect.getsource(module)
    found: dict[str, tuple[ast.stmt, str]] = {}
    imported: dict[str, str] = {}
    for node in ast.parse(source).body:
        text = ast.get_source_segment(source, node) or ""
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            node.decorator_list = []  # they register, and are not in `text`
            found[node.name] = (node, text)
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            found[node.targets[0].id] = (node, text)
        elif isinstance(node, ast.Import):
            imported |= {(alias.asname or alias.name).split(".")[0]: text for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if node.level:
                    imported[alias.name] = f"{module.__package__}.{node.module}"
                else:
                    imported[alias.name] = text
    return found, imported
