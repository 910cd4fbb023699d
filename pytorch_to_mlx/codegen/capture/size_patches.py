"""What torch.export works out about sizes and this project does not need, left out while a module is traced.

A model whose images are cut into windows has sizes such as 7·((x // 4 + 6) // 7); torch simplifies them again with
every question that it asks about a shape, which takes minutes.
"""

import contextlib
import functools
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import sympy
import torch
from torch._dynamo import config
from torch._subclasses.fake_impls import op_implementations_dict
from torch.fx.experimental import proxy_tensor
from torch.fx.experimental.symbolic_shapes import ShapeEnv, has_free_unbacked_symbols, uninteresting_files

_RESIMPLIFY = "_resimplify_floor_div_axioms"
_VIEWS = (torch.ops.aten.view.default, torch.ops.aten._unsafe_view.default)


@contextlib.contextmanager
def quick_sizes() -> Iterator[None]:
    """Shapes are found by what follows from their sizes in the example; the questions that models ask stay exact."""
    setattr(
        ShapeEnv, _RESIMPLIFY, property(lambda self: False, lambda self, value: vars(self).update({_RESIMPLIFY: value}))
    )
    views, simplify = {op: op_implementations_dict[op] for op in _VIEWS}, sympy.simplify
    op_implementations_dict.update({op: _view(original) for op, original in views.items()})
    sympy.simplify = lambda expr, **options: expr if _is_simple(expr) else simplify(expr, **options)
    try:
        # torch computes a shape twice to remember it for the next call, and sizes differ from call to call.
        with config.patch(fake_tensor_cache_enabled=False), _no_formats(), _either_answer():
            yield
    finally:
        delattr(ShapeEnv, _RESIMPLIFY)
        op_implementations_dict.update(views)
        sympy.simplify = simplify


@contextlib.contextmanager
def _no_formats() -> Iterator[None]:
    """Nodes do not say which memory format a result has: it costs several questions for each."""
    original = proxy_tensor._extract_tensor_metadata
    proxy_tensor._extract_tensor_metadata = functools.partial(original, include_contiguity=False)
    try:
        yield
    finally:
        proxy_tensor._extract_tensor_metadata = original


@contextlib.contextmanager
def _either_answer() -> Iterator[None]:
    """Where torch says what to assume if it cannot know, it is told what holds in the example, without a proof.

    Such questions choose how to compute. An equality that holds goes torch's way: it makes two sizes one.
    """
    original = ShapeEnv.evaluate_sym_node
    own = Path(__file__).parent.parent.rglob("*.py")
    uninteresting_files().update(map(str, own))  # they ask nothing themselves

    def evaluate(
        self: ShapeEnv, sym_node: Any, size_oblivious: bool = False, fallback_value: bool | None = None
    ) -> sympy.Basic:
        if fallback_value is not None and (answer := _seen(sym_node)) is not None:
            return answer
        return original(self, sym_node, size_oblivious, fallback_value)

    ShapeEnv.evaluate_sym_node = evaluate
    try:
        yield
    finally:
        ShapeEnv.evaluate_sym_node = original


def _seen(sym_node: Any) -> sympy.Basic | None:
    """What holds in the example, for a comparison; None for an equality that holds, and where data decides."""
    expr = sym_node.expr
    if not isinstance(expr, sympy.core.relational.Relational) or not sym_node.has_hint():
        return None
    equal = sym_node.hint == isinstance(expr, sympy.Eq)
    return None if equal and isinstance(expr, sympy.Eq | sympy.Ne) else sympy.sympify(sym_node.hint)


def _view(original: Any) -> Any:
    """The new shape of a tensor that is laid out in the order of its axes: no search for which axes become which."""

    def view(mode: Any, op: Any, x: torch.Tensor, *shape: Any, **options: Any) -> torch.Tensor:
        (sizes,) = shape if len(shape) == 1 and isinstance(shape[0], list | tuple | torch.Size) else (shape,)
        hints = [_hint(size) for size in sizes]
        if None in hints or 0 in hints or not _in_order(x):
            return original(mode, op, x, *shape, **options)
        if -1 in hints:  # torch asks whether the rest divides the whole; the original has run, so it does
            place = hints.index(-1)
            sizes = (*sizes[:place], x.numel() // math.prod((*sizes[:place], *sizes[place + 1 :])), *sizes[place + 1 :])
        return x.new_empty(tuple(sizes))

    return view


def _in_order(x: torch.Tensor) -> bool:
    """Whether the example is contiguous."""
    sizes, strides = ([_hint(number) for number in numbers] for numbers in (x.shape, x.stride()))
    if None in sizes or None in strides or x.layout != torch.strided or x.is_nested:
        return False
    right = [math.prod(sizes[axis + 1 :]) for axis in range(len(sizes))]
    return all(stride == wanted or size == 1 for size, stride, wanted in zip(sizes, strides, right, strict=True))


def _hint(size: Any) -> int | None:
    if not isinstance(size, torch.SymInt):
        return size
    return None if has_free_unbacked_symbols(size) or not size.node.has_hint() else size.node.hint


def _is_simple(expr: Any) -> bool:
    """Whether nothing is divided in an expression."""
    return (
        isinstance(expr, sympy.Expr)
        and not any(part.exp.could_extract_minus_sign() for part in expr.atoms(sympy.Pow))
        and all(number.q == 1 for number in expr.atoms(sympy.Rational))
    )
