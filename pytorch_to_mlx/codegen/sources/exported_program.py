"""An exported program (`.pt2`), after a check that loading it cannot run code."""

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

# A symbolic size in an exported program is text that sympy runs: calls of these words on symbols and numbers, no more.
SIZE_WORDS = set(
    "Add Mul Pow Integer Rational Float Symbol Max Min FloorDiv CeilDiv CleanDiv Mod PythonMod ModularIndexing "
    "IntTrueDiv FloatTrueDiv ToFloat TruncToInt CeilToInt FloorToInt RoundToInt floor ceiling Eq Ne Lt Le Gt Ge "
    "Equality Unequality StrictLessThan LessThan StrictGreaterThan GreaterThan Identity Piecewise And Or Not oo int_oo "
    "true false OpaqueUnaryFn_sqrt PowByNatural positive integer nonnegative real".split()
)
SYMBOL = re.compile(r"(s|u|zuf|zf|_)\d*|s_\w+")
SIZE_PARTS = (
    ast.Expression, ast.Call, ast.keyword, ast.Name, ast.Constant, ast.BinOp, ast.UnaryOp, ast.Compare, ast.operator,
    ast.unaryop, ast.cmpop, ast.expr_context, ast.Tuple,
)  # fmt: skip
CALLS = ("torch.ops.aten.", "torch.ops.higher_order.", "_operator.", "math.", "torch.sym_")
LARGEST_GRAPH = 1 << 30


def open_program(path: Path) -> ModuleSource:
    """An exported program, after a check that loading it cannot run code."""
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

    Raises: UnsafeError; FormatError if it is no archive.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            for info in archive.infolist():
                name = info.filename.partition("/")[2]
                if info.file_size > LARGEST_GRAPH and name.endswith((".json", ".pt")):
                    raise UnsafeError(f"{info.filename} claims {info.file_size} bytes", where=path)
                if "custom_obj" in name or "opaque_obj" in name or "aotinductor" in name:
                    raise UnsafeError(f"it carries {name}: an object or a library that loading would run", where=path)
                if name.endswith(".json"):
                    _check_json(json.loads(archive.read(info)), path)
                elif name.endswith(".pt"):
                    _check_pickle(archive.read(info), name, path)
    except (zipfile.BadZipFile, json.JSONDecodeError, UnicodeDecodeError) as error:
        raise FormatError(f"not an exported program: {error}", where=path) from error


def _check_json(tree: Any, path: Path) -> None:
    waiting = [tree]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            if item.get("use_pickle"):
                raise UnsafeError("a tensor in it is pickled", where=path, fix="save it again with torch.export.save")
            if isinstance(text := item.get("expr_str"), str):
                _check_size(text, path)
            if isinstance(target := item.get("target"), str) and "inputs" in item:
                if not target.startswith(CALLS):
                    raise UnsafeError(f"its graph calls {target!r:.80}", where=path)
            waiting += item.values()
        elif isinstance(item, list):
            waiting += item


def _check_size(text: str, path: Path) -> None:
    try:
        parts = list(ast.walk(ast.parse(text, mode="eval")))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        parts = []
    words = [part.id for part in parts if isinstance(part, ast.Name)]
    words += [part.value for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, str)]
    known = all(word in SIZE_WORDS or SYMBOL.fullmatch(word) for word in words)
    if not parts or not known or not all(isinstance(part, SIZE_PARTS) for part in parts):
        raise UnsafeError(f"a size in it is the text {text!r:.80}, which loading would run", where=path)


def _check_pickle(content: bytes, name: str, path: Path) -> None:
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
        raise UnsafeError(f"{name} holds objects that are no tensors", where=path) from error
