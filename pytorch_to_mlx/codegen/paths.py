"""Dotted paths of the original's submodules and weights, as attributes and list places of the generated modules."""

import ast
import keyword
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from mlx import nn

_MODULE_LISTS: ContextVar[frozenset[str]] = ContextVar("module_lists", default=frozenset())


@contextmanager
def module_lists(paths: frozenset[str]) -> Iterator[None]:
    """Keep the numbered children of the modules at `paths` in a list `layers`, for as long as the context lasts.

    These are modules of the original that have code of their own beside their numbered children.
    """
    token = _MODULE_LISTS.set(paths)
    try:
        yield
    finally:
        _MODULE_LISTS.reset(token)


def mlx_parts(name: str) -> list[str]:
    """Return the parts of a dotted name of the original, as attributes and list places of the generated modules."""
    parts: list[str] = []
    original = name.split(".") if name else []
    for depth, part in enumerate(original):
        if part.isdigit() and is_module_list(".".join(original[:depth])):
            parts.append("layers")
        parts.append(part if part.isdigit() else safe_name(part))
    return parts


def current_module_lists() -> frozenset[str]:
    """Return the paths of the modules whose numbered children are in a list `layers`."""
    return _MODULE_LISTS.get()


def is_module_list(path: str) -> bool:
    """Return whether the numbered children of the module at `path` are in a list `layers`."""
    return path in current_module_lists()


def access(path: str, name: str) -> ast.expr:
    """Return the expression for a dotted name, read from `self` at `path`: numbers are places in lists."""
    tree: ast.expr = ast.Name("self")
    for part in mlx_parts(name)[len(mlx_parts(path)) :]:
        tree = ast.Subscript(tree, ast.Constant(int(part))) if part.isdigit() else ast.Attribute(tree, part)
    return tree


def safe_name(name: str) -> str:
    """Return an attribute name that nn.Module leaves free and counts as a parameter."""
    clean = name.lstrip("_") or "value"
    if clean != name or hasattr(nn.Module, clean) or keyword.iskeyword(clean) or not clean.isidentifier():
        clean = "".join(c if c.isalnum() or c == "_" else "_" for c in clean) + "_"
    return clean


def is_path(tree: ast.expr) -> bool:
    """Return whether an expression only reads attributes and list places, as self.a.b[0] does: it costs nothing."""
    while isinstance(tree, ast.Attribute | ast.Subscript):
        if isinstance(tree, ast.Subscript) and not isinstance(tree.slice, ast.Constant):
            return False
        tree = tree.value
    return isinstance(tree, ast.Name)


def submodule(model: Any, path: str) -> Any:
    """Return the submodule of a generated model that stands for a dotted path of the original."""
    for part in mlx_parts(path):
        model = model[int(part)] if part.isdigit() else getattr(model, part)
    return model
