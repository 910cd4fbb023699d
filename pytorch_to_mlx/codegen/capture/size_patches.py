"""Skip what torch.export proves about sizes and this project does not need, while a module is traced.

A model whose images are cut into windows has sizes such as 7·((x // 4 + 6) // 7); torch simplifies them again with
every question that it asks about a shape, which takes minutes. Here shapes follow from the sizes of the example; what
the models' own code asks is answered exactly, and recorded.
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
def skip_size_proofs() -> Iterator[None]:
    """Find shapes by what follows from their sizes in the example; the questions that models ask stay exact."""
    with (
        skip_simplification(),
        view_by_hints(),
        # torch computes a shape twice to remember it for the next call, and sizes differ from call to call.
        config.patch(fake_tensor_cache_enabled=False),
        skip_memory_formats(),
        assume_hints(),
    ):
        yield


@contextlib.contextmanager
def skip_simplification() -> Iterator[None]:
    """Keep torch from simplifying divisions of sizes again, and sympy from simplifying what holds no division."""
    original = sympy.simplify
    never = property(lambda self: False, lambda self, value: vars(self).update({_RESIMPLIFY: value}))
    setattr(ShapeEnv, _RESIMPLIFY, never)
    sympy.simplify = lambda expr, **options: expr if _is_simple(expr) else original(expr, **options)
    try:
        yield
    finally:
        delattr(ShapeEnv, _RESIMPLIFY)
        sympy.simplify = original


def _is_simple(expr: Any) -> bool:
    """Tell whether an expression divides nothing."""
    return (
        isinstance(expr, sympy.Expr)
        and not any(part.exp.could_extract_minus_sign() for part in expr.atoms(sympy.Pow))
        and all(number.q == 1 for number in expr.atoms(sympy.Rational))
    )


@contextlib.contextmanager
def skip_memory_formats() -> Iterator[None]:
    """Leave the memory format of results out of the nodes: it costs several questions for each."""
    original = proxy_tensor._extract_tensor_metadata  # pyright: ignore[reportPrivateImportUsage]
    without_format = functools.partial(original, include_contiguity=False)
    proxy_tensor._extract_tensor_metadata = without_format  # pyright: ignore[reportPrivateImportUsage]
    try:
        yield
    finally:
        proxy_tensor._extract_tensor_metadata = original  # pyright: ignore[reportPrivateImportUsage]


@contextlib.contextmanager
def assume_hints() -> Iterator[None]:
    """Answer optional size questions with the example's hint, without a proof.

    A question is optional where torch names the answer to assume if it cannot know: such questions choose how to
    compute. An equality that holds is left to torch: it makes two sizes one.
    """
    original = ShapeEnv.evaluate_sym_node
    own_files = Path(__file__).parent.parent.rglob("*.py")
    uninteresting_files().update(map(str, own_files))  # else torch takes this code for the one that asks

    def evaluate(
        self: ShapeEnv, sym_node: Any, size_oblivious: bool = False, fallback_value: bool | None = None
    ) -> sympy.Basic:
        if fallback_value is not None and (answer := _answer_in_example(sym_node)) is not None:
            return answer
        return original(self, sym_node, size_oblivious, fallback_value)

    ShapeEnv.evaluate_sym_node = evaluate
    try:
        yield
    finally:
        ShapeEnv.evaluate_sym_node = original


def _answer_in_example(sym_node: Any) -> sympy.Basic | None:
    """Return what a comparison is in the example; None for an equality that holds, and where data decides."""
    expr = sym_node.expr
    if not isinstance(expr, sympy.core.relational.Relational) or not sym_node.has_hint():
        return None
    equal = sym_node.hint == isinstance(expr, sympy.Eq)
    return None if equal and isinstance(expr, sympy.Eq | sympy.Ne) else sympy.sympify(sym_node.hint)


@contextlib.contextmanager
def view_by_hints() -> Iterator[None]:
    """Shape views of tensors that are contiguous in the example without a search for which axes become which."""
    originals = {op: op_implementations_dict[op] for op in _VIEWS}
    op_implementations_dict.update({op: _view(original) for op, original in originals.items()})
    try:
        yield
    finally:
        op_implementations_dict.update(originals)


def _view(original: Any) -> Any:
    """Return torch's implementation of a view for fake tensors, with a short way for contiguous ones."""

    def view(mode: Any, op: Any, x: torch.Tensor, *shape: Any, **options: Any) -> torch.Tensor:
        (sizes,) = shape if len(shape) == 1 and isinstance(shape[0], list | tuple | torch.Size) else (shape,)
        hints = [_hint(size) for size in sizes]
        if None in hints or 0 in hints or not _is_contiguous(x):
            return original(mode, op, x, *shape, **options)
        if -1 in hints:  # torch asks whether the rest divides the whole; where the module runs, it does
            axis = hints.index(-1)
            before, after = sizes[:axis], sizes[axis + 1 :]
            sizes = (*before, x.numel() // math.prod((*before, *after)), *after)
        return x.new_empty(tuple(sizes))

    return view


def _is_contiguous(x: torch.Tensor) -> bool:
    """Tell whether a dense tensor is contiguous in the example."""
    sizes, strides = ([_hint(number) for number in numbers] for numbers in (x.shape, x.stride()))
    if None in sizes or None in strides or x.layout != torch.strided or x.is_nested:
        return False
    contiguous = [math.prod(sizes[axis + 1 :]) for axis in range(len(sizes))]
    return all(a == b or size == 1 for size, a, b in zip(sizes, strides, contiguous, strict=True))


def _hint(size: Any) -> Any:
    """Return the example value of a size; None if it depends on data."""
    if not isinstance(size, torch.SymInt):
        return size
    return None if has_free_unbacked_symbols(size) or not size.node.has_hint() else size.node.hint
