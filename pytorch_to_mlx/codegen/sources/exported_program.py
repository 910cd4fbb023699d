"""Open an exported program (`.pt2`), after a check that loading it cannot run code."""

import ast
import io
import json
import pickle
import re
import zipfile
from pathlib import Path
from typing import IO, Any

import torch

from ...errors import FormatError, UnsafeError, UsageError
from .module_source import ModuleSource

# A symbolic size in an exported program is text that sympy evaluates as Python. These functions and assumptions are
# allowed in it, symbols and numbers, and no syntax beyond SIZE_SYNTAX.
SIZE_WORDS = set(
    "Add Mul Pow Integer Rational Float Symbol Max Min FloorDiv CeilDiv CleanDiv Mod PythonMod ModularIndexing "
    "IntTrueDiv FloatTrueDiv ToFloat TruncToInt CeilToInt FloorToInt RoundToInt floor ceiling Eq Ne Lt Le Gt Ge "
    "Equality Unequality StrictLessThan LessThan StrictGreaterThan GreaterThan Identity Piecewise And Or Not oo int_oo "
    "true false OpaqueUnaryFn_sqrt PowByNatural positive integer nonnegative real".split()
)
SYMBOL = re.compile(r"(s|u|zuf|zf|_)\d*|s_\w+")
SIZE_SYNTAX = (
    ast.Expression, ast.Call, ast.keyword, ast.Name, ast.Constant, ast.BinOp, ast.UnaryOp, ast.Compare, ast.operator,
    ast.unaryop, ast.cmpop, ast.expr_context, ast.Tuple,
)  # fmt: skip
ALLOWED_CALLS = ("torch.ops.aten.", "torch.ops.higher_order.", "_operator.", "math.", "torch.sym_")
MAX_MEMBER_BYTES = 1 << 30  # of a graph or a pickle, which are read whole


def open_program(path: Path) -> ModuleSource:
    """Open an exported program, after a check that loading it cannot run code.

    Raises: UsageError if there is no such file; UnsafeError if loading it could run code; FormatError if it is not an
    exported program, or holds no example inputs.
    """
    if not path.is_file():
        raise UsageError(f"no file {path}")
    with path.open("rb") as file:  # the very file that was checked is loaded
        check_program(file, path)
        file.seek(0)
        program = torch.export.load(file)
    if program.example_inputs is None:
        raise FormatError("the exported program holds no example inputs", where=path, fix="export it again with them")
    args, kwargs = program.example_inputs
    return ModuleSource(program.module(), tuple(args), dict(kwargs), str(path), program)


def check_program(file: IO[bytes], path: Path) -> None:
    """Refuse an exported program whose loading would unpickle objects or run text.

    Raises: UnsafeError if it would; FormatError if it is not a zip archive of such a program.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            for info in archive.infolist():
                name = info.filename.partition("/")[2]
                if info.file_size > MAX_MEMBER_BYTES and name.endswith((".json", ".pt")):
                    raise UnsafeError(f"{info.filename} claims {info.file_size} bytes", where=path)
                if "custom_obj" in name or "opaque_obj" in name or "aotinductor" in name:
                    raise UnsafeError(f"it holds {name}, an object or a library that loading would run", where=path)
                if name.endswith(".json"):
                    _check_json(json.loads(archive.read(info)), path)
                elif name.endswith(".pt"):
                    _check_pickle(archive.read(info), name, path)
    except (zipfile.BadZipFile, json.JSONDecodeError, UnicodeDecodeError) as error:
        raise FormatError(f"not an exported program: {error}", where=path) from error


def _check_json(tree: Any, path: Path) -> None:
    """Refuse pickled tensors, sizes that are code, and calls of anything but ops."""
    stack = [tree]
    while stack:
        item = stack.pop()
        if isinstance(item, dict):
            if item.get("use_pickle"):
                raise UnsafeError("a tensor in it is pickled", where=path, fix="save it again with torch.export.save")
            if isinstance(text := item.get("expr_str"), str):
                _check_size(text, path)
            if isinstance(target := item.get("target"), str) and "inputs" in item:
                if not target.startswith(ALLOWED_CALLS):
                    raise UnsafeError(f"its graph calls {target!r:.80}", where=path)
            stack += item.values()
        elif isinstance(item, list):
            stack += item


def _check_size(text: str, path: Path) -> None:
    """Refuse a symbolic size that is more than arithmetic on symbols and numbers."""
    try:
        syntax = list(ast.walk(ast.parse(text, mode="eval")))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        syntax = []
    words = [node.id for node in syntax if isinstance(node, ast.Name)]
    words += [node.value for node in syntax if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    words_allowed = all(word in SIZE_WORDS or SYMBOL.fullmatch(word) for word in words)
    if not syntax or not words_allowed or not all(isinstance(node, SIZE_SYNTAX) for node in syntax):
        raise UnsafeError(f"a size in it is the text {text!r:.80}, which loading would run", where=path)


def _check_pickle(content: bytes, name: str, path: Path) -> None:
    """Refuse a pickle that holds anything but tensors and plain data."""
    if not content:
        return
    try:
        torch.load(io.BytesIO(content), weights_only=True)
    except (
        pickle.UnpicklingError,
        RuntimeError,
        ValueError,
        TypeError,
        LookupError,
        EOFError,
        AttributeError,
    ) as error:
        raise UnsafeError(f"{name} holds objects other than tensors", where=path) from error
