"""Named axis orders and folds: how torch stores an array, how mlx.nn does, and the way in both directions.

Letters: O output channels, I input channels, K kernel, H height, W width, G groups.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import mlx.core as mx
import numpy as np


@dataclass(frozen=True)
class Layout:
    """A change of axis order or shape, and its exact inverse.

    check: returns what is wrong with a torch shape, or "".
    passes_bias: whether a 1-D array, the bias of the same module, stays as it is.
    """

    name: str
    rank: int
    forward: Callable[[mx.array], mx.array]
    inverse: Callable[[mx.array], mx.array]
    check: Callable[[tuple[int, ...]], str] = lambda shape: ""
    passes_bias: bool = True

    def problem(self, shape: tuple[int, ...]) -> str:
        """Return why an array of this torch shape cannot have this layout; "" if it can."""
        if len(shape) == 1 and self.passes_bias:
            return ""
        if len(shape) != self.rank:
            return f"{self.name} needs {self.rank} axes"
        return self.check(shape)

    def to_mlx(self, array: mx.array) -> mx.array:
        """Return a torch array in MLX's layout.

        Shapes: array of `rank` axes -> the axes as the layout's name says; 1-D -> the same with `passes_bias`
        """
        # Contiguous, because a transposed view would be copied by every call that reads it.
        return array if array.ndim == 1 and self.passes_bias else mx.contiguous(self.forward(array))

    def to_torch(self, array: mx.array) -> mx.array:
        """Return an MLX array in torch's layout, the inverse of `to_mlx`.

        Shapes: the other way round than `to_mlx`
        """
        return array if array.ndim == 1 and self.passes_bias else self.inverse(array)


def permute(order: str) -> Layout:
    """Make a layout from its axes, as in `permute("OIK->OKI")`.

    Raises: ValueError if the two sides do not name the same axes.
    """
    torch_order, mlx_order = order.split("->")
    if sorted(torch_order) != sorted(mlx_order) or len(set(torch_order)) != len(torch_order):
        raise ValueError(f"{order!r} does not name the same axes on both sides")
    to_mlx = [torch_order.index(axis) for axis in mlx_order]
    to_torch = [mlx_order.index(axis) for axis in torch_order]
    return Layout(order, len(to_mlx), lambda a: a.transpose(to_mlx), lambda a: a.transpose(to_torch))


def conv_transpose1d(groups: int) -> Layout:
    """Make the layout of a grouped transposed convolution: torch [I, O/G, K] -> mlx [O, K, I/G]."""

    def forward(a: mx.array) -> mx.array:
        i, o, k = a.shape
        return a.reshape(groups, i // groups, o, k).transpose(0, 2, 3, 1).reshape(groups * o, k, i // groups)

    def inverse(a: mx.array) -> mx.array:
        o, k, i = a.shape
        return a.reshape(groups, o // groups, k, i).transpose(0, 3, 1, 2).reshape(groups * i, o // groups, k)

    def check(shape: tuple[int, ...]) -> str:
        return "" if shape[0] % groups == 0 else f"{shape[0]} input channels do not divide into {groups} groups"

    name = "CONV_TRANSPOSE1D" if groups == 1 else f"conv_transpose1d(groups={groups})"
    return Layout(name, 3, forward, inverse, check)


def rotary_halves(head_dim: int, rank: int, *, fused: bool = False) -> Layout:
    """Make the layout of queries and keys that turn in pairs: neighbours in torch, halves of the head here.

    `ops.rotate` turns halves, and a product of queries and keys does not see the order. fused: queries, keys and values
    one after the other; the values stay as they are. Shapes: [H · head_dim, …] -> the same.
    """

    def reorder(a: mx.array, *shape: int) -> mx.array:
        turned = a[: a.shape[0] * 2 // 3] if fused else a
        heads = turned.reshape(-1, *shape, *a.shape[1:]).swapaxes(1, 2).reshape(turned.shape)
        return mx.concatenate([heads, a[len(turned) :]]) if fused else heads

    def check(shape: tuple[int, ...]) -> str:
        return "" if shape[0] % ((3 if fused else 1) * head_dim) == 0 else f"{shape[0]} are no heads of {head_dim}"

    half, name = head_dim // 2, f"rotary_halves({head_dim}, {rank}{', fused=True' if fused else ''})"
    return Layout(name, rank, lambda a: reorder(a, half, 2), lambda a: reorder(a, 2, half), check, passes_bias=False)


def _named(name: str, order: str) -> Layout:
    return replace(permute(order), name=name)


CONV1D = _named("CONV1D", "OIK->OKI")
CONV2D = _named("CONV2D", "OIHW->OHWI")
CONV_TRANSPOSE1D = conv_transpose1d(groups=1)
CONV_TRANSPOSE2D = _named("CONV_TRANSPOSE2D", "IOHW->OHWI")
LINEAR_T = _named("LINEAR_T", "IO->OI")
# One group per channel: torch [D, 1, K] -> mlx [D, K, 1].
CONV_TRANSPOSE1D_DEPTHWISE = Layout(
    "CONV_TRANSPOSE1D_DEPTHWISE",
    3,
    lambda a: a.transpose(0, 2, 1),
    lambda a: a.transpose(0, 2, 1),
    lambda shape: "" if shape[1] == 1 else f"a depthwise kernel has 1 channel per group, not {shape[1]}",
)
# A convolution over one position is a Linear: torch [O, I, 1] -> mlx [O, I].
POINTWISE = Layout(
    "POINTWISE",
    3,
    lambda a: a.squeeze(2),
    lambda a: a[:, :, None],
    lambda shape: "" if shape[2] == 1 else f"the kernel has {shape[2]} positions, not 1",
)
# One number per channel: torch [1, D, 1] -> mlx [D].
CHANNELS = Layout(
    "CHANNELS",
    3,
    lambda a: a.reshape(-1),
    lambda a: a[None, :, None],
    lambda shape: "" if shape[0] == shape[2] == 1 else "the first and last axis must be 1",
    passes_bias=False,
)


@dataclass(frozen=True)
class Fold:
    """One array computed from several, and one way back, so that join(cut(join(x))) equals join(x).

    parts: how many arrays are joined; None for any number.
    check, cut_check: return what is wrong with the shapes to join, and with the shape to cut into parts; or "".
    """

    name: str
    parts: int | None
    join: Callable[[Sequence[mx.array]], mx.array]
    cut: Callable[[mx.array, int], list[mx.array]]
    check: Callable[[Sequence[tuple[int, ...]]], str] = lambda shapes: ""
    cut_check: Callable[[tuple[int, ...], int], str] = lambda shape, parts: ""


def concat(*ratio: int) -> Fold:
    """Make the fold that joins arrays on axis 0, with lengths in this ratio, such as 7, 1, 1 for grouped queries.

    Shapes: [n_1, …], [n_2, …], … -> [n_1 + n_2 + …, …]
    """

    def cut(a: mx.array, parts: int) -> list[mx.array]:
        shares = ratio or (1,) * parts
        unit = a.shape[0] // sum(shares)
        ends = [unit * sum(shares[: i + 1]) for i in range(len(shares))]
        return list(mx.split(a, ends[:-1]))

    def check(shapes: Sequence[tuple[int, ...]]) -> str:
        return "the parts differ in more than their first axis" if len({shape[1:] for shape in shapes}) > 1 else ""

    def cut_check(shape: tuple[int, ...], parts: int) -> str:
        total = sum(ratio) or parts
        if not shape or shape[0] % total:
            return f"its first axis does not divide into {total} shares"
        return ""

    name = f"concat{ratio}" if ratio else "CONCAT"
    return Fold(name, len(ratio) or None, lambda arrays: mx.concatenate(list(arrays)), cut, check, cut_check)


def _weight_norm(parts: Sequence[mx.array]) -> mx.array:
    """Compute w = v · (g / ‖v‖) in torch's order of operations.

    Shapes: g [O, 1, …] (1 on every axis that the norm runs over), v [O, …] -> like v.
    Source: Salimans & Kingma 2016, eq. 2; torch/nn/utils/weight_norm.py, `_weight_norm`. The squares are summed in
    float64 and rounded once: torch's float32 sum depends on its vector width.
    """
    g, v = parts
    v32, g32 = (np.array(a.astype(mx.float32)) for a in (v, g))
    norm = np.sqrt(np.square(v32, dtype=np.float64).sum(axis=_norm_axes(g.shape, v.shape), keepdims=True))
    # A row of zeros gives 0/0 = NaN, as in torch.
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = g32.reshape(norm.shape) / norm.astype(np.float32)
        return mx.array(v32 * scale).astype(v.dtype)


def _norm_axes(g: tuple[int, ...], v: tuple[int, ...]) -> tuple[int, ...]:
    """Return the axes that the norm runs over: those on which g has length 1, and all if g is a single number."""
    return tuple(axis for axis in range(len(v)) if not g or g[axis] == 1)


def _weight_norm_cut(w: mx.array, n: int) -> list[mx.array]:
    """Return g = ‖w‖ and v = w, with the norm over all axes but the first, which is torch's default.

    Shapes: w [O, …] -> [O, 1, …], [O, …]
    """
    w32 = np.array(w.astype(mx.float32))
    axes = tuple(range(1, w.ndim))
    g = np.sqrt(np.square(w32, dtype=np.float64).sum(axis=axes, keepdims=True)).astype(np.float32)
    return [mx.array(g).astype(w.dtype), w]


def _weight_norm_check(shapes: Sequence[tuple[int, ...]]) -> str:
    g, v = shapes
    fits = not g or (len(g) == len(v) and all(a in (1, b) for a, b in zip(g, v, strict=True)))
    return "" if fits else f"g {list(g)} does not fit v {list(v)}"


def _same_shapes(shapes: Sequence[tuple[int, ...]]) -> str:
    return "" if len(set(shapes)) == 1 else "the two differ in shape"


CONCAT = concat()
# (g, v): torch's weight_norm, whichever axis it keeps.
WEIGHT_NORM = Fold("WEIGHT_NORM", 2, _weight_norm, _weight_norm_cut, _weight_norm_check)
# (bias_ih, bias_hh): torch keeps two, mlx.nn.LSTM one; the gates are i, f, g, o in both.
LSTM_BIAS = Fold("LSTM_BIAS", 2, lambda p: p[0] + p[1], lambda b, n: [b, mx.zeros_like(b)], _same_shapes)
