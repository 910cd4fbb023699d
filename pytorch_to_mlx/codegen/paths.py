"""Names of the original in generated source: dotted paths to submodules and weights, as attributes and list places."""

import ast
import keyword
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from mlx import nn

_LAYERED: ContextVar[frozenset[str]] = ContextVar("layered", default=frozenset())


@contextmanager
def layered(paths: frozenset[str]) -> Iterator[None]:
    """Modules of the original with code of their own and numbered children, which here are their list `layers`."""
    token = _LAYERED.set(paths)
    try:
        yield
    finally:
        _LAYERED.reset(token)


def mlx_parts(name: str) -> list[str]:
    """The parts of a dotted name of the original, as attributes and list places of the generated modules."""
    parts: list[str] = []
    original = name.split(".") if name else []
    for depth, part in enumerate(original):
        if part.isdigit() and has_layers(".".join(original[:depth])):
            parts.append("layers")
        parts.append(part if part.isdigit() else safe_name(part))
    return parts


def layered_now() -> frozenset[str]:
    return _LAYERED.get()


def has_layers(path: str) -> bool:
    return path in layered_now()


def access(path: str, name: str) -> ast.expr:
    """The expression for a dotted name below the module at `path`: numbers are places in lists."""
    tree: ast.expr = ast.Name("self")
    for part in mlx_parts(name)[len(mlx_parts(path)) :]:
        tree = ast.Subscript(tree, ast.Constant(int(part))) if part.isdigit() else ast.Attribute(tree, part)
    return tree


def safe_name(name: str) -> str:
    """An attribute name that nn.Module leaves free and counts as a parameter."""
    clean = name.lstrip("_") or "value"
    if clean != name or hasattr(nn.Module, clean) or keyword.iskeyword(clean) or not clean.isidentifier():
        clean = "".join(c if c.isalnum() or c == "_" else "_" for c in clean) + "_"
    return clean


def is_path(tree: ast.expr) -> bool:
    """self.a.b[0]: an expression that costs nothing."""
    while isinstance(tree, ast.Attribute | ast.Subscript):
        if isinstance(tree, ast.Subscript) and not isinstance(tree.slice, ast.Constant):
            return False
        tree = tree.value
    return isinstance(tree, ast.Name)
