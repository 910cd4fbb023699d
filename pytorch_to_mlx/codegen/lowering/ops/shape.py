"""Views, permutations, padding, joining and splitting: nothing here computes a value."""

import itertools
from typing import Any

from ...graph import Meta
from ..recorder import Recorded, Size, fn, let, mx
from .conv import channels_first, channels_last
from .op_table import lowers
from .types import axes_of, axis_of, is_static, to


def _same_size(a, b) -> bool:
    if is_static(a) and is_static(b):
        return a == b
    return isinstance(a, Size) and isinstance(b, Size) and a.expr is not None and a.expr == b.expr


def _same_shape(a, b) -> bool:
    return len(a) == len(b) and all(map(_same_size, a, b))


@lowers("view.default", "reshape.default", "_unsafe_view.default", "view_copy.default")
def view(x, size: Any = None, shape: Any = None, *, result: Meta | None = None):
    size = list(size if size is not None else shape)
    old = list(x.shape)
    if -1 not in [s for s in size if is_static(s)] and _same_shape(size, old):
        return x
    return _short_reshape(x, old, size) if isinstance(x, Recorded) else x.reshape(size)


def _short_reshape(x, old: list, new: list):
    """Write a reshape in its plainest form: as a change of neighbouring axes, where it is one."""
    if (axes := _inserted(old, new)) is not None:
        return mx.expand_dims(x, axes[0] if len(axes) == 1 else axes)
    if (axes := _inserted(new, old)) is not None:
        return x.squeeze(axes[0] if len(axes) == 1 else tuple(axes))
    front = 0
    while front < min(len(old), len(new)) and _same_size(old[front], new[front]):
        front += 1
    back = 0
    while back < min(len(old), len(new)) - front and _same_size(old[-1 - back], new[-1 - back]):
        back += 1
    before, after = old[front : len(old) - back], new[front : len(new) - back]
    if len(after) == 1 and len(before) > 1:
        return mx.flatten(x, front - len(old) if back < front else front, -1 - back)
    if len(before) == 1 and len(after) > 1:
        return mx.unflatten(x, -1 - back, _infer_one(after))
    return x.reshape(_infer_one(new) if not all(is_static(s) for s in old) else new)


def _inserted(few: list, many: list) -> list[int] | None:
    """Return the axes of length 1 that `many` has more than `few`; None if that is not the only difference."""
    axes: list[int] = []
    rest = list(few)
    for axis, size in enumerate(many):
        if rest and _same_size(size, rest[0]):
            rest.pop(0)
        elif is_static(size) and size == 1:
            axes.append(axis)
        else:
            return None
    return axes if axes and not rest else None


def _infer_one(sizes: list) -> list:
    """Return a shape with -1 for its dynamic size, if it has one only and MLX can infer it."""
    dynamic = [i for i, s in enumerate(sizes) if not is_static(s)]
    if len(dynamic) == 1 and not any(is_static(s) and s in (-1, 0) for s in sizes):
        sizes = list(sizes)
        sizes[dynamic[0]] = -1
    return sizes


@lowers("flatten.using_ints")
def flatten(x, start_dim=0, end_dim=-1):
    return mx.flatten(x, start_dim, end_dim) if x.ndim else x.reshape([1])


@lowers("unflatten.int")
def unflatten(x, dim, sizes):
    return mx.unflatten(x, dim, sizes)


@lowers("view_as.default", "reshape_as.default")
def view_as(x, other):
    return view(x, other.shape)


@lowers("view.dtype")
def view_dtype(x, dtype):
    return x.view(dtype) if x.ndim else x.reshape([1]).view(dtype).reshape([])


@lowers("permute.default", "permute_copy.default")
def permute(x, dims):
    axes = [axis_of(d, x.ndim) for d in dims]
    moved = [i for i, a in enumerate(axes) if i != a]
    if not moved:
        return x
    if isinstance(x, Recorded) and x.ndim > 2:
        if axes == [0, *range(2, x.ndim), 1]:
            return channels_last(x)
        if axes == [0, x.ndim - 1, *range(1, x.ndim - 1)]:
            return channels_first(x)
    if len(moved) == 2:
        return _swap(x, *moved)
    return mx.transpose(x, axes) if len(axes) != x.ndim else x.transpose(*axes)


def _swap(x, a, b):
    n = x.ndim
    return x.swapaxes(a - n, b - n) if a == n - 2 and n > 2 else x.swapaxes(a, b)


@lowers("transpose.int", "transpose_copy.int", "swapaxes.default", "swapdims.default")
def transpose(x, dim0, dim1):
    return x.swapaxes(dim0, dim1) if x.ndim and axis_of(dim0, x.ndim) != axis_of(dim1, x.ndim) else x


@lowers("t.default", "t_copy.default", "numpy_T.default", "mT.default", "matrix_H.default")
def t(x):
    return x.swapaxes(-1, -2) if x.ndim >= 2 else x


@lowers("movedim.int", "moveaxis.int")
def movedim(x, source, destination):
    return mx.moveaxis(x, source, destination)


@lowers("unsqueeze.default", "unsqueeze_copy.default")
def unsqueeze(x, dim):
    return mx.expand_dims(x, dim)


@lowers(
    "squeeze.default", "squeeze.dim", "squeeze.dims", "squeeze_copy.default", "squeeze_copy.dim", "squeeze_copy.dims"
)
def squeeze(x, dim=None):
    axes = [a for a in axes_of(dim, x.ndim) if is_static(x.shape[a]) and x.shape[a] == 1]
    if isinstance(dim, list | tuple) and not dim:
        return x
    return x.squeeze(axes[0] if len(axes) == 1 else tuple(axes)) if axes else x


@lowers("expand.default", "expand_copy.default", "broadcast_to.default")
def expand(x, size, implicit=False):
    missing = len(size) - x.ndim
    size = [x.shape[i - missing] if is_static(s) and s == -1 else s for i, s in enumerate(size)]
    if _same_shape(size, list(x.shape)):
        return x
    return mx.broadcast_to(x, size)


@lowers("expand_as.default")
def expand_as(x, other):
    return mx.broadcast_to(x, other.shape)


@lowers("repeat.default", "tile.default")
def repeat(x, repeats: Any = None, dims: Any = None):
    repeats = list(repeats if repeats is not None else dims)
    if all(is_static(r) and r == 1 for r in repeats) and len(repeats) <= x.ndim:
        return x
    return mx.tile(x, repeats)


@lowers("cat.default", "concat.default", "concatenate.default")
def cat(tensors, dim=0, *, result: Meta):
    # torch lets one-dimensional empty tensors join anything
    parts = [to(t, result.dtype) for t in tensors if not (t.ndim == 1 and is_static(t.shape[0]) and t.shape[0] == 0)]
    if len(parts) < 2:
        return parts[0] if parts else to(tensors[0], result.dtype)
    return mx.concatenate(parts, axis=dim)


@lowers("_chunk_cat.default")
def chunk_cat(tensors, dim, num_chunks, *, result: Meta):
    return fn.chunk_cat([to(t, result.dtype) for t in tensors], dim, num_chunks)


@lowers("stack.default")
def stack(tensors, dim=0, *, result: Meta):
    return mx.stack([to(t, result.dtype) for t in tensors], axis=dim)


@lowers("split.Tensor", "unsafe_split.Tensor", "split_copy.Tensor")
def split(x, split_size, dim=0, *, result):
    return _pieces(x, [m.shape[axis_of(dim, x.ndim)] for m in result], dim)


@lowers("split_with_sizes.default", "split_with_sizes_copy.default", "split.sizes", "unsafe_split_with_sizes.default")
def split_with_sizes(x, split_sizes, dim=0):
    return _pieces(x, split_sizes, dim)


@lowers("chunk.default", "unsafe_chunk.default", "tensor_split.sections", "tensor_split.indices")
def chunk(x, chunks=None, sections=None, indices=None, dim=0, *, result):
    return _pieces(x, [m.shape[axis_of(dim, x.ndim)] for m in result], dim)


def _pieces(x, sizes, dim):
    if len(sizes) == 1:
        return [x]
    if all(_same_size(size, sizes[0]) for size in sizes) and not (is_static(sizes[0]) and sizes[0] == 0):
        return mx.split(x, len(sizes), axis=dim)
    ends = list(itertools.accumulate(sizes[:-1]))
    return mx.split(x, ends, axis=dim)


@lowers("unbind.int", "unbind_copy.int")
def unbind(x, dim=0, *, result):
    if len(result) == 0:
        return []
    axis = axis_of(dim, x.ndim)
    x = let("x", x)
    index = (slice(None),) * axis
    return [x[(*index, i)] if axis else x[i] for i in range(len(result))]


@lowers("flip.default")
def flip(x, dims):
    axes = axes_of(dims, x.ndim) if dims else []
    return fn.flip(x, axes) if axes and x.ndim else x


@lowers("roll.default")
def roll(x, shifts, dims=None):
    if not x.ndim:
        return x
    return mx.roll(x, tuple(shifts), tuple(dims)) if dims else mx.roll(x.flatten(), shifts[0]).reshape(x.shape)


@lowers("diff.default")
def diff(x, n=1, dim=-1, prepend=None, append=None):
    parts = [part for part in (prepend, x, append) if part is not None]
    x = mx.concatenate(parts, axis=dim) if len(parts) > 1 else x
    before = (slice(None),) * axis_of(dim, x.ndim)
    for _ in range(n):
        x = let("x", x)
        later, earlier = x[(*before, slice(1, None))], x[(*before, slice(None, -1))]
        x = later != earlier if x.dtype == mx.bool_ else later - earlier
    return x


@lowers("rot90.default")
def rot90(x, k=1, dims=(0, 1)):
    return fn.rot90(x, k, list(dims))


@lowers("linalg_diagonal.default")
def matrix_diagonal(A, offset=0, dim1=-2, dim2=-1):
    return mx.diagonal(A, offset, dim1, dim2)


@lowers("diagonal.default", "diagonal_copy.default")
def diagonal(x, offset=0, dim1=0, dim2=1):
    return mx.diagonal(x, offset, dim1, dim2)


@lowers("diag_embed.default")
def diag_embed(x, offset=0, dim1=-2, dim2=-1):
    return fn.diag_embed(x, offset, dim1, dim2)


@lowers("tril.default")
def tril(x, diagonal=0):
    return fn.tril(x, diagonal) if x.dtype == mx.bool_ or not is_static(diagonal) else mx.tril(x, diagonal)


@lowers("triu.default")
def triu(x, diagonal=0):
    return fn.triu(x, diagonal) if x.dtype == mx.bool_ or not is_static(diagonal) else mx.triu(x, diagonal)


@lowers("block_diag.default")
def block_diag(tensors, *, result: Meta):
    return fn.block_diag([to(t, result.dtype) for t in tensors])


@lowers("unfold.default", "unfold_copy.default")
def unfold(x, dimension, size, step):
    return fn.unfold(x, dimension, size, step) if x.ndim else x.reshape([1])[:size]


@lowers("as_strided.default", "as_strided_copy.default")
def as_strided(x, size, stride, storage_offset=None):
    # torch counts in the memory of x; ours is x in row-major order, which is what capture hands over
    return mx.as_strided(mx.contiguous(x) if x.ndim else x.reshape([1]), list(size), list(stride), storage_offset or 0)


@lowers("pixel_shuffle.default")
def pixel_shuffle(x, upscale_factor):
    return fn.pixel_shuffle(x, upscale_factor)


@lowers("pixel_unshuffle.default")
def pixel_unshuffle(x, downscale_factor):
    return fn.pixel_unshuffle(x, downscale_factor)


@lowers("constant_pad_nd.default")
def constant_pad(x, pad, value=0, *, result: Meta):
    return fn.pad(x, list(pad), value) if _crops(pad) else _pad_positive(x, pad, value)


def _crops(pad) -> bool:
    return any(not is_static(p) or p < 0 for p in pad)


def _pad_positive(x, pad, value):
    if not any(pad):
        return x
    widths = _widths(x, pad)
    return mx.pad(x, widths) if value == 0 else mx.pad(x, widths, constant_values=value)


def _widths(x, pad):
    return [(0, 0)] * (x.ndim - len(pad) // 2) + [(pad[i], pad[i + 1]) for i in range(len(pad) - 2, -1, -2)]


@lowers("pad.default")
def pad(x, pad, mode="constant", value=None, *, result: Meta):
    if mode == "constant":
        return constant_pad(x, pad, 0 if value is None else value, result=result)
    if mode == "replicate":
        return replication_pad(x, pad)
    return fn.pad_by_index(x, list(pad), mode)


@lowers("reflection_pad1d.default", "reflection_pad2d.default", "reflection_pad3d.default")
def reflection_pad(x, padding):
    return fn.pad_by_index(x, list(padding), "reflect")


@lowers("replication_pad1d.default", "replication_pad2d.default", "replication_pad3d.default")
def replication_pad(x, padding):
    if _crops(padding):
        return fn.pad_by_index(x, list(padding), "replicate")
    return mx.pad(x, _widths(x, padding), mode="edge")


@lowers("_pad_circular.default")
def circular_pad(x, pad):
    return fn.pad_by_index(x, list(pad), "circular")


@lowers("meshgrid.default", "meshgrid.indexing")
def meshgrid(tensors, indexing="ij"):
    return mx.meshgrid(*tensors, indexing=indexing)


@lowers("repeat_interleave.self_int")
def repeat_interleave(x, repeats, dim=None, output_size=None):
    return mx.repeat(x, repeats) if dim is None else mx.repeat(x, repeats, axis=dim)


@lowers("repeat_interleave.self_Tensor")
def repeat_interleave_each(x, repeats, dim=None, output_size=None):
    return fn.repeat_each(x, repeats, dim)


@lowers("repeat_interleave.Tensor")
def repeat_interleave_counts(repeats, output_size=None):
    return fn.repeat_each(mx.arange(repeats.shape[0], dtype=repeats.dtype), repeats, 0)


@lowers("sym_size.int")
def sym_size(x, dim):
    return x.shape[dim]
