"""Small syntax trees that generated code is made of: paths to submodules, reads of shapes, constants."""

import ast
from collections.abc import Mapping
from typing import Any

import mlx.core as mx

from ..graph import Node
from ..lowering.recorder import Recorded, to_tree
from ..lowering.sizes import PREFIX


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
