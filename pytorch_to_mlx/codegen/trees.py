"""Small syntax trees that generated code is made of: paths to submodules, reads of shapes, constants."""

import ast
import keyword
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import mlx.core as mx
from mlx import nn

from .graph import Node
from .recorder import Recorded, to_tree
from .sizes import PREFIX

_LAYERED: ContextVar[frozenset[str]] = ContextVar("layered", default=frozenset())


def solved_size(size: Any, name: str, argument: str, axis: int) -> ast.expr | None:
    """A symbol from a dimension a·s + b, with whole a and b."""
    if isinstance(size, int) or len(size.free_symbols) != 1:
        return None
    (symbol,) = size.free_symbols
    if f"{PREFIX}{symbol}" != name or not size.is_polynomial(symbol) or size.as_poly(symbol).degree() != 1:
        return None
    slope, offset = (int(c) for c in size.as_poly(symbol).all_coeffs())
    tree: ast.expr = ast.Subscript(ast.Attribute(ast.Name(argument), "shape"), ast.Constant(axis))
    if offset:
        tree = ast.BinOp(tree, ast.Sub() if offset > 0 else ast.Add(), ast.Constant(abs(offset)))
    return ast.BinOp(tree, ast.FloorDiv(), ast.Constant(slope)) if slope != 1 else tree


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


def short_name(node: Node) -> str:
    """A name for a value that the source does not name."""
    if node.op.startswith("aten."):
        word = node.op.split(".")[1].strip("_")
        return {"linear": "y", "view": "x", "add": "x", "mul": "x", "cat": "x"}.get(
            word, word if len(word) < 9 else "x"
        )
    return "x"


def constant_value(array: mx.array) -> Recorded:
    tree = ast.Call(
        ast.Attribute(ast.Name("mx"), "array"),
        [to_tree(array.tolist())],
        [] if array.dtype in (mx.float32, mx.int32, mx.bool_) else [ast.keyword("dtype", to_tree(array.dtype))],
    )
    return Recorded(tree, array, tuple(array.shape))


def is_path(tree: ast.expr) -> bool:
    """self.a.b[0]: an expression that costs nothing."""
    while isinstance(tree, ast.Attribute | ast.Subscript):
        if isinstance(tree, ast.Subscript) and not isinstance(tree.slice, ast.Constant):
            return False
        tree = tree.value
    return isinstance(tree, ast.Name)


def substitute(result: Any, steps: dict[str, ast.expr]) -> Any:
    """An expression with the steps that a lowering bound written in place."""

    class Replace(ast.NodeTransformer):
        def visit_Name(self, node: ast.Name) -> ast.expr:
            return self.visit(steps[node.id]) if node.id in steps else node

    if isinstance(result, Recorded):
        result.tree = Replace().visit(result.tree)
        return result
    return [substitute(part, steps) for part in result]


def order_sums(tree: ast.AST, places: Mapping[str, tuple[int, int]]) -> None:
    """Put the sizes of every sum a + b in the order of the arguments that show them: torch's order differs from call to
    call, and calls of equal code share a class."""
    for node in ast.walk(tree):
        match node:
            case ast.BinOp(ast.Name(a), ast.Add(), ast.Name(b)) if a in places and b in places:
                first, second = sorted((a, b), key=lambda name: places[name])
                node.left, node.right = ast.Name(first), ast.Name(second)


def read_shape(argument: str, names: dict[int, str], ndim: int) -> ast.stmt:
    """One statement that reads sizes from the shape of an argument."""
    shape = ast.Attribute(ast.Name(argument), "shape")
    if len(names) == 1:
        ((axis, name),) = names.items()
        return ast.Assign([ast.Name(name)], ast.Subscript(shape, ast.Constant(axis)))
    count = max(names) + 1
    targets: list[ast.expr] = [ast.Name(names.get(axis, "_")) for axis in range(count)]
    value = shape if count == ndim else ast.Subscript(shape, ast.Slice(None, ast.Constant(count), None))
    return ast.Assign([ast.Tuple(targets)], value)
