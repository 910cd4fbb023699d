"""Where a module comes from: a Python factory, an exported program, a Hugging Face model, or an object in hand."""

import ast
import importlib
import importlib.util
import io
import json
import pickle
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import torch
from torch import nn

from ..errors import FormatError, MissingExtraError, UnsafeError, UsageError
from . import FACTORY
from .capture.export import capture, read_program
from .capture.fx_graph import class_of
from .capture.methods import FORWARD, Entry, Examples, entered, examples_by_method, split_example
from .extend import UserCode, load_file

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


@dataclass
class ModuleSource:
    """A module with example inputs. text: how the user named it, so that `validate` finds it again.

    methods: example inputs by method, where others than `forward` are wanted; args and kwargs are then empty.
    """

    module: nn.Module
    args: tuple = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    text: str = ""
    program: Any = None
    methods: Examples = field(default_factory=dict)

    @property
    def class_name(self) -> str:
        """The module's class, without its package."""
        return class_of(self.module, self.program and self.program.graph).rpartition(".")[2]

    def entries(self) -> list[Entry]:
        """Every method to convert, captured."""
        if self.program is not None:
            return [Entry(FORWARD, self.args, self.kwargs, read_program(self.program))]
        found = []
        for name, (args, kwargs) in (self.methods or {FORWARD: (self.args, self.kwargs)}).items():
            with entered(self.module, name):
                found.append(Entry(name, args, kwargs, capture(self.module, args, kwargs)))
        return found


def open_module(text: str) -> ModuleSource:
    """Open a SOURCE: `package.module:function`, `file.py:function`, `file.pt2`, a Hugging Face id or folder.

    A factory is the user's own Python code, and it is run.
    """
    if text.endswith(".pt2"):
        return open_program(Path(text))
    if found := FACTORY.fullmatch(text):
        return call_factory(text, found["place"], found["function"])
    return open_transformers(text)


def call_factory(text: str, place: str, function: str) -> ModuleSource:
    """Call a function that returns (module, args) or (module, args, kwargs) with example inputs, or (module, methods)
    with a dict of example inputs by method."""
    if place.endswith(".py"):
        found = load_file(place)
    else:
        top = place.partition(".")[0]
        if importlib.util.find_spec(top) is None:
            raise UsageError(f"no Python module {place!r}", fix="give package.module:function")
        with UserCode(place):
            found = importlib.import_module(place)
    factory = getattr(found, function, None)
    if not callable(factory):
        raise UsageError(f"{place} has no function {function!r}")
    with UserCode(text):
        made = factory()
    if isinstance(made, tuple) and len(made) == 2 and isinstance(made[0], nn.Module) and isinstance(made[1], Mapping):
        return ModuleSource(made[0], text=text, methods=examples_by_method(*made))
    if isinstance(made, tuple) and len(made) in (2, 3) and isinstance(made[0], nn.Module):
        args = made[1] if isinstance(made[1], tuple) else (made[1],)
        return ModuleSource(made[0], args, dict(made[2]) if len(made) == 3 else {}, text)
    raise UsageError(
        f"{text} must return (module, args), (module, args, kwargs) or (module, methods), found {type(made).__name__}",
        fix="args is a tuple of example inputs, kwargs a dict, methods a dict of example inputs by method",
    )


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


def open_transformers(text: str) -> ModuleSource:
    """A Hugging Face model with inputs made up from its config."""
    from ..checkpoint import locate
    from .coverage.huggingface import accepted
    from .coverage.inputs import realize

    folder = locate(text).path
    try:
        import transformers
    except ImportError as error:
        raise MissingExtraError("transformers", "validate", needed_for="opening a Hugging Face model") from error
    config = transformers.AutoConfig.from_pretrained(folder, trust_remote_code=False)
    if hasattr(config, "use_cache"):
        config.use_cache = False
    names = config.architectures or []
    kind = getattr(transformers, names[0], transformers.AutoModel) if names else transformers.AutoModel
    if not (isinstance(kind, type) and issubclass(kind, transformers.PreTrainedModel | transformers.AutoModel)):
        raise FormatError(f"the architecture {names[0]!r:.80} is no model of transformers", where=folder)
    module = kind.from_pretrained(folder, config=config).eval()
    with torch.no_grad():
        shapes = accepted(module, config, {}, "cpu")
    return ModuleSource(module, (), dict(realize(shapes, config, 0)), text)


def from_object(module: nn.Module, example_inputs: Any, methods: Mapping[str, Any] | None) -> ModuleSource:
    """A module in hand. example_inputs: a tensor, a tuple of arguments, a dict of keywords, or (tuple, dict).

    methods: such example inputs by method, in place of those of `forward`.
    """
    if methods is not None:
        return ModuleSource(module, methods=examples_by_method(module, methods))
    return ModuleSource(module, *split_example(example_inputs))
