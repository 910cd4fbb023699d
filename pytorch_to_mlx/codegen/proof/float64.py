"""Compute in float64 without a second copy of the weights: each is widened where an op uses it, and freed again."""

import contextlib
import copy
import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree

NARROW = (torch.float32, torch.float16, torch.bfloat16)

# What a module raises that was not written for its inputs: for float64, or for another size.
MODULE_FAILURES = (
    AssertionError,
    RuntimeError,
    TypeError,
    ValueError,
    NotImplementedError,
    AttributeError,
    LookupError,
)

# Ops that only move values: run on the stored tensors, they give the same values.
MOVES = {
    getattr(torch.ops.aten, name).default
    for name in "t permute view _unsafe_view reshape alias detach expand unsqueeze".split()
} | {
    torch.ops.aten.transpose.int,
    torch.ops.aten.select.int,
    torch.ops.aten.slice.Tensor,
    torch.ops.aten.squeeze.dim,
    torch.ops.aten.split.Tensor,
    torch.ops.aten.split_with_sizes.default,
    torch.ops.aten.embedding.default,
}


CASTS = (torch.Tensor.float, torch.Tensor.half, torch.Tensor.bfloat16)


class Float64View(torch.Tensor):
    """A float64 tensor whose values stay in a narrower floating type: in `stored`."""

    stored: torch.Tensor

    @staticmethod
    def __new__(cls, stored: torch.Tensor) -> "Float64View":
        view = torch.Tensor._make_wrapper_subclass(  # pyright: ignore[reportAttributeAccessIssue]  # not in torch's types
            cls, stored.shape, stored.stride(), stored.storage_offset(), dtype=torch.float64, device=stored.device
        )
        view.stored = stored
        return view

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        """Run an op: on the stored values where it only moves them, else on float64 copies.

        Raises: RuntimeError for an op that would write into a view.
        """
        arguments: Any = (args, dict(kwargs or {}))
        if func in MOVES and not any(_is_dense_float64(item) for item in pytree.tree_leaves(arguments)):
            args, named = pytree.tree_map_only(Float64View, lambda view: view.stored, arguments)
            return pytree.tree_map_only(torch.Tensor, Float64View, func(*args, **named))
        if func._schema.is_mutable:
            stored = next(item.stored for item in pytree.tree_leaves(arguments) if isinstance(item, Float64View))
            raise RuntimeError(f"{func} would write into a weight that is stored in {str(stored.dtype)[6:]}")
        args, named = to_dense(arguments)
        if func is torch.ops.aten.convolution.default and (y := _depthwise(*args)) is not None:
            return y
        return func(*args, **named)


def _depthwise(x, weight, bias, stride, padding, dilation, transposed, output_padding, groups):
    """Compute a depthwise convolution as a sum over its taps: PyTorch's own is slow in float64, channel by channel.

    Shapes: x [B, C, *N], weight [C, 1, *K] -> [B, C, *M]. Returns None for any other convolution.
    """
    if not weight.shape[0] == groups == x.shape[1] > 1 or weight.shape[1] != 1:
        return None
    sizes, kernel = x.shape[2:], weight.shape[2:]
    reach = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]

    def places(tap: tuple[int, ...], lengths: list[int]) -> tuple:
        steps = zip(tap, dilation, stride, lengths, strict=True)
        return (..., *(slice(k * d, k * d + (n - 1) * s + 1, s) for k, d, s, n in steps))

    taps = list(itertools.product(*map(range, kernel)))
    by_tap = {tap: weight[(slice(None), 0, *tap)].reshape(-1, *[1] * len(kernel)) for tap in taps}
    if transposed:
        rest = zip(sizes, stride, reach, output_padding, strict=True)
        y = x.new_zeros(*x.shape[:2], *((n - 1) * s + r + o for n, s, r, o in rest))
        for tap in taps:
            y[places(tap, list(sizes))] += x * by_tap[tap]
        y = y[(..., *(slice(p, n - p) for p, n in zip(padding, y.shape[2:], strict=True)))]
    else:
        x = nn.functional.pad(x, [p for p in reversed(padding) for _ in range(2)])
        lengths = [(n - r) // s + 1 for n, r, s in zip(x.shape[2:], reach, stride, strict=True)]
        y = x.new_zeros(*x.shape[:2], *lengths)
        for tap in taps:
            y += x[places(tap, lengths)] * by_tap[tap]
    return y if bias is None else y + bias.reshape(-1, *[1] * len(kernel))


def _is_dense_float64(item: Any) -> bool:
    return isinstance(item, torch.Tensor) and not isinstance(item, Float64View) and item.dtype == torch.float64


def float64_module(module: nn.Module) -> nn.Module:
    """Return a copy of a module that computes in float64 and shares its weights with the original."""
    return copy.deepcopy(module, {id(tensor): float64_weight(tensor, copied=True) for tensor in _tensors(module)})


def separate_module(module: nn.Module) -> nn.Module:
    """Return a copy of a module with weights of its own, in float64."""
    return copy.deepcopy(module, {id(tensor): tensor.detach().clone() for tensor in _computed(module)}).double()


def _tensors(module: nn.Module) -> list[torch.Tensor]:
    return [*module.parameters(), *module.buffers(), *_computed(module)]


def _computed(module: nn.Module) -> list[torch.Tensor]:
    """Return the attributes that are computed from weights, as by weight_norm, which torch does not copy."""
    values = (value for part in module.modules() for value in vars(part).values())
    return [value for value in values if isinstance(value, torch.Tensor) and not value.is_leaf]


def float64_weight(tensor: Any, *, copied: bool = False) -> Any:
    """Return a floating weight as a Float64View and a complex64 one as complex128; others unchanged, or `copied`."""
    if not isinstance(tensor, torch.Tensor):
        return tensor
    if tensor.dtype in NARROW:
        return Float64View(tensor.detach())
    if tensor.dtype == torch.complex64:
        return tensor.detach().to(torch.complex128)
    return tensor.detach().clone() if copied else tensor.detach()


def to_dense(tree: Any) -> Any:
    """Replace every Float64View in a tree by an ordinary float64 tensor."""
    return pytree.tree_map_only(Float64View, lambda view: view.stored.double(), tree)


def to_float64(tree: Any) -> Any:
    """Convert the floating tensors of a tree to float64 and the complex64 ones to complex128."""

    def convert(tensor: torch.Tensor) -> torch.Tensor:
        return tensor.detach().to(float64_dtype(tensor.dtype))

    return pytree.tree_map_only(torch.Tensor, convert, tree)


def float64_dtype(item: Any) -> Any:
    """Return float64 for a floating dtype and complex128 for complex64; anything else unchanged."""
    return (
        torch.float64
        if isinstance(item, torch.dtype) and item in NARROW
        else torch.complex128
        if item is torch.complex64
        else item
    )


@contextlib.contextmanager
def wide_default() -> Iterator[None]:
    """Let torch make float64 of what has no type of its own, such as integers times a number."""
    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(default)


class WideCasts(TorchFunctionMode):
    """While it is on, what would be cast to a narrower floating type is cast to float64, as in `x.float()`."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in CASTS:
            func, args, kwargs = torch.Tensor.double, args[:1], None
        if func is not torch.Tensor.view:  # which reads the same bytes as another type
            args, kwargs = pytree.tree_map_only(torch.dtype, float64_dtype, (args, kwargs or {}))
        return func(*args, **(kwargs or {}))
