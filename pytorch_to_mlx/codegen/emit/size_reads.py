"""Where a method gets its dynamic sizes from: the shapes of its arguments, else its caller."""

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..graph import Meta
from ..lowering.sizes import PREFIX, axis_name
from .draft import Draft


@dataclass(frozen=True)
class SizeRead:
    """An axis of an argument that shows a size. solution: the size in terms of the axis, where they differ."""

    argument: str
    axis: int
    ndim: int
    solution: ast.expr | None = None


def read_sizes(draft: Draft, sizes_defined: set[str]) -> None:
    """Read every size that a body uses from its arguments, first of all, or make it a parameter.

    sizes_defined: sizes that a statement of the body sets.
    """
    names = [
        part.id
        for tree in draft.trees()
        for part in ast.walk(tree)
        if isinstance(part, ast.Name) and part.id.startswith(PREFIX)
    ]
    reads: dict[str, SizeRead] = {}
    for name in dict.fromkeys(names):
        if name in sizes_defined:
            continue
        read = find_read(draft, name)
        if read is None:
            draft.sizes.append(name)
            draft.suggestions[name] = "size"
        else:
            reads[name] = read
            draft.suggestions[name] = axis_name(read.ndim, read.axis)
    places = {name: (draft.args.index(read.argument), read.axis) for name, read in reads.items()}
    for tree in draft.trees():
        order_sums(tree, places)
    draft.statements[:0] = _statements(draft, reads)


def find_read(draft: Draft, name: str) -> SizeRead | None:
    """Return the first axis that is a size; if there is none, the first that it can be solved from."""
    arguments = zip(draft.call.inputs, draft.args, strict=True)
    arrays = [(n, a) for n, a in arguments if isinstance(n.meta, Meta) and n.op != "noise"]  # which may be None
    for node, argument in arrays:
        for axis, size in enumerate(node.meta.shape):
            if not isinstance(size, int) and f"{PREFIX}{size}" == name:
                return SizeRead(argument, axis, node.meta.ndim)
    for node, argument in arrays:
        for axis, size in enumerate(node.meta.shape):
            if (solution := solve(size, name, argument, axis)) is not None:
                return SizeRead(argument, axis, node.meta.ndim, solution)
    return None


def solve(size: Any, name: str, argument: str, axis: int) -> ast.expr | None:
    """Return s from an axis of length a·s + b, with whole a and b; None if the axis does not have that form."""
    if isinstance(size, int) or len(size.free_symbols) != 1:
        return None
    (symbol,) = size.free_symbols
    if f"{PREFIX}{symbol}" != name or not size.is_polynomial(symbol) or size.as_poly(symbol).degree() != 1:
        return None
    slope, offset = (int(c) for c in size.as_poly(symbol).all_coeffs())
    tree = axis_length(ast.Name(argument), axis)
    if offset:
        tree = ast.BinOp(tree, ast.Sub() if offset > 0 else ast.Add(), ast.Constant(abs(offset)))
    return ast.BinOp(tree, ast.FloorDiv(), ast.Constant(slope)) if slope != 1 else tree


def axis_length(array: ast.expr, axis: int) -> ast.expr:
    """Return `array.shape[axis]`."""
    return ast.Subscript(ast.Attribute(array, "shape"), ast.Constant(axis))


def order_sums(tree: ast.AST, places: Mapping[str, tuple[int, int]]) -> None:
    """Put the sizes of every sum a + b in the order of the arguments that show them.

    torch's order differs from call to call, and calls of equal code share a class.
    """
    for node in ast.walk(tree):
        match node:
            case ast.BinOp(ast.Name(a), ast.Add(), ast.Name(b)) if a in places and b in places:
                first, second = sorted((a, b), key=lambda name: places[name])
                node.left, node.right = ast.Name(first), ast.Name(second)


def _statements(draft: Draft, reads: Mapping[str, SizeRead]) -> list[ast.stmt]:
    """Return one statement for each argument that shows sizes as they are, then one for each size that is solved."""
    direct: dict[str, dict[int, str]] = {}
    solved: list[ast.stmt] = []
    ndims: dict[str, int] = {}
    for name, read in reads.items():
        ndims[read.argument] = read.ndim
        if read.solution is None:
            direct.setdefault(read.argument, {})[read.axis] = name
        else:
            solved.append(ast.Assign([ast.Name(name)], read.solution))
    arguments = sorted(direct, key=draft.args.index)
    return [*(read_shape(argument, direct[argument], ndims[argument]) for argument in arguments), *solved]


def read_shape(argument: str, names: Mapping[int, str], ndim: int) -> ast.stmt:
    """Return the statement that reads sizes, by axis, from the shape of an argument."""
    if len(names) == 1:
        ((axis, name),) = names.items()
        return ast.Assign([ast.Name(name)], axis_length(ast.Name(argument), axis))
    shape = ast.Attribute(ast.Name(argument), "shape")
    count = max(names) + 1
    targets: list[ast.expr] = [ast.Name(names.get(axis, "_")) for axis in range(count)]
    value = shape if count == ndim else ast.Subscript(shape, ast.Slice(None, ast.Constant(count), None))
    return ast.Assign([ast.Tuple(targets)], value)
