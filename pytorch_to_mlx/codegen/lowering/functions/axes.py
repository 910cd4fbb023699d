"""Axes, padding, windows over an axis, and new arrays by rule."""

# MLX's types let item and tolist return any scalar, complex ones too. The rules are off for the whole file,
# because a comment on a line would be copied into generated source with it.
# pyright: reportArgumentType=false

import math
from itertools import product

import mlx.core as mx


def arange(start, end, step, dtype: mx.Dtype) -> mx.array:
    """Return start, start + step, … below end: as many values as torch, ceil((end - start) / step) in float64.

    Shapes: -> [count].
    """
    count = max(0, math.ceil((end - start) / step))
    if mx.issubdtype(dtype, mx.floating):
        return start + mx.arange(count, dtype=dtype) * step
    return int(start) + mx.arange(count, dtype=dtype) * int(step)


def linspace(start, end, steps: int, dtype: mx.Dtype) -> mx.array:
    """Return `steps` values from start to end, each half counted from its own end as in torch. Shapes: -> [steps]."""
    kind = dtype if mx.issubdtype(dtype, mx.inexact) else mx.float32
    if steps < 2:
        return mx.broadcast_to(mx.array(start).astype(dtype), [steps])
    position = mx.arange(steps).astype(kind)
    start, end = mx.array(start).astype(kind), mx.array(end).astype(kind)
    step = (end - start) / (steps - 1)
    values = mx.where(mx.arange(steps) < steps // 2, start + step * position, end - step * (steps - 1 - position))
    return (values if kind == dtype else mx.trunc(values)).astype(dtype)


def logspace(start, end, steps: int, base: float, dtype: mx.Dtype) -> mx.array:
    """Return base ** linspace(start, end, steps). Shapes: -> [steps]."""
    kind = dtype if mx.issubdtype(dtype, mx.inexact) else mx.float32
    values = mx.power(mx.array(base, kind), linspace(start, end, steps, kind))
    return (values if kind == dtype else mx.trunc(values)).astype(dtype)


def to_uint8(x: mx.array) -> mx.array:
    """Cast to uint8; negative numbers wrap as in C. Shapes: x [...] -> [...]."""
    return x.astype(mx.int64).astype(mx.uint8)


def resize(x: mx.array, shape: list[int]) -> mx.array:
    """Return the first elements in memory order under another shape, filled up with 0. Shapes: x [...] -> shape."""
    flat = x.flatten()
    count = math.prod(shape)
    if count > flat.size:
        flat = mx.concatenate([flat, mx.zeros([count - flat.size], dtype=x.dtype)])
    return flat[:count].reshape(shape)


def triangle_indices(rows: int, columns: int, offset: int, lower: bool) -> mx.array:
    """Return row and column numbers of the lower or upper triangle. Shapes: -> [2, count] int64."""
    places = [
        (i, j) for i, j in product(range(rows), range(columns)) if (j - i <= offset if lower else j - i >= offset)
    ]
    return mx.array(places, dtype=mx.int64).reshape([-1, 2]).T


def flip(x: mx.array, axes: list[int]) -> mx.array:
    """Reverse x along the given axes. Shapes: x [...] -> the same."""
    return x[tuple(slice(None, None, -1) if axis in axes else slice(None) for axis in range(x.ndim))]


def rot90(x: mx.array, k: int, axes: list[int]) -> mx.array:
    """Turn x by k times 90 degrees, from the first axis towards the second.

    Shapes: x [...] -> the same, with the two axes exchanged for odd k.
    """
    first, second = (axis % x.ndim for axis in axes)
    if k % 4 == 0:
        return x
    if k % 4 == 2:
        return flip(x, [first, second])
    return flip(x, [second]).swapaxes(first, second) if k % 4 == 1 else flip(x.swapaxes(first, second), [second])


def tril(x: mx.array, k: int) -> mx.array:
    """Keep the lower triangle of the last two axes, of any dtype, and set the rest to 0.

    Shapes: x [..., N, M] -> the same.
    """
    keep = mx.arange(x.shape[-1])[None, :] - mx.arange(x.shape[-2])[:, None] <= k
    return mx.where(keep, x, mx.zeros([], dtype=x.dtype))


def triu(x: mx.array, k: int) -> mx.array:
    """Keep the upper triangle of the last two axes, of any dtype, and set the rest to 0.

    Shapes: x [..., N, M] -> the same.
    """
    keep = mx.arange(x.shape[-1])[None, :] - mx.arange(x.shape[-2])[:, None] >= k
    return mx.where(keep, x, mx.zeros([], dtype=x.dtype))


def diag_embed(x: mx.array, offset: int, axis1: int, axis2: int) -> mx.array:
    """Put the last axis of x on a diagonal of two new axes.

    Shapes: x [..., N] -> [..., M, M] with the new axes at axis1 and axis2; M = N + |offset|.
    """
    size = x.shape[-1] + abs(offset)
    ndim = x.ndim + 1
    axis1, axis2 = axis1 % ndim, axis2 % ndim
    if axis1 > axis2:
        axis1, axis2, offset = axis2, axis1, -offset
    on_diagonal = mx.arange(size)[None, :] - mx.arange(size)[:, None] == offset
    lead, trail = max(0, -offset), max(0, offset)
    rows = mx.pad(x, [(0, 0)] * (x.ndim - 1) + [(lead, trail)])
    square = mx.where(on_diagonal, rows[..., :, None], mx.zeros([], dtype=x.dtype))
    return mx.moveaxis(mx.moveaxis(square, -2, axis1), -1, axis2)


def block_diag(blocks: list[mx.array]) -> mx.array:
    """Place matrices along the diagonal of one large matrix.

    Shapes: blocks [Nᵢ, Mᵢ] (a vector counts as one row) -> [Σ Nᵢ, Σ Mᵢ].
    """
    blocks = [block.reshape([1, -1]) if block.ndim < 2 else block for block in blocks]
    columns = sum(block.shape[1] for block in blocks)
    rows, start = [], 0
    for block in blocks:
        rows.append(mx.pad(block, [(0, 0), (start, columns - start - block.shape[1])]))
        start += block.shape[1]
    return mx.concatenate(rows)


def unfold(x: mx.array, axis: int, size: int, step: int) -> mx.array:
    """Take windows of `size` elements, one every `step`, over one axis; a window becomes the last axis.

    Shapes: x [..., L, ...] -> [..., (L - size) // step + 1, ..., size].
    """
    axis = axis % x.ndim
    count = (x.shape[axis] - size) // step + 1
    index = mx.arange(count)[:, None] * step + mx.arange(size)[None, :]
    windows = mx.take(x, index.flatten(), axis=axis)
    shape = [*x.shape[:axis], count, size, *x.shape[axis + 1 :]]
    return mx.moveaxis(windows.reshape(shape), axis + 1, -1)


def channel_shuffle(x: mx.array, groups: int) -> mx.array:
    """Interleave the channels of the groups. Shapes: x [B, C, ...] -> the same."""
    batch, channels, *rest = x.shape
    return x.reshape([batch, groups, channels // groups, *rest]).swapaxes(1, 2).reshape(x.shape)


def pixel_shuffle(x: mx.array, factor: int) -> mx.array:
    """Spread channels over r × r blocks of the image.

    Shapes: x [..., C·r², H, W] -> [..., C, H·r, W·r]. Source: Shi et al. 2016.
    """
    *lead, channels, height, width = x.shape
    x = x.reshape([math.prod(lead), channels // factor**2, factor, factor, height, width]).transpose(0, 1, 4, 2, 5, 3)
    return x.reshape([*lead, channels // factor**2, height * factor, width * factor])


def pixel_unshuffle(x: mx.array, factor: int) -> mx.array:
    """Gather r × r blocks of the image into channels. Shapes: x [..., C, H·r, W·r] -> [..., C·r², H, W]."""
    *lead, channels, height, width = x.shape
    x = x.reshape([math.prod(lead), channels, height // factor, factor, width // factor, factor]).transpose(
        0, 1, 3, 5, 2, 4
    )
    return x.reshape([*lead, channels * factor**2, height // factor, width // factor])


def pad(x: mx.array, widths: list[int], value: float = 0) -> mx.array:
    """Pad the last axes with a value; a negative width crops.

    Shapes: x [..., L] -> [..., left + L + right]; widths: left and right of the last axis, then of the one before, …
    """
    axes = [(0, 0)] * (x.ndim - len(widths) // 2) + [(widths[i], widths[i + 1]) for i in range(len(widths) - 2, -1, -2)]
    crop = tuple(slice(max(0, -left), size - max(0, -right)) for (left, right), size in zip(axes, x.shape, strict=True))
    return mx.pad(x[crop], [(max(0, left), max(0, right)) for left, right in axes], constant_values=value)


def pad_by_index(x: mx.array, widths: list[int], mode: str) -> mx.array:
    """Pad the last axes with values of x: "reflect", "replicate" or "circular". A negative width crops.

    Shapes: x [..., L] -> [..., left + L + right]; widths: left and right of the last axis, then of the one before, …
    """
    for place in range(len(widths) // 2):
        left, right = widths[2 * place], widths[2 * place + 1]
        axis = x.ndim - 1 - place
        size = x.shape[axis]
        index = mx.arange(-left, size + right)
        if mode == "reflect":
            index = size - 1 - mx.abs(size - 1 - mx.abs(index))
        elif mode == "replicate":
            index = mx.clip(index, 0, size - 1)
        else:
            start, length = max(-left, 0), size + min(left, 0) + min(right, 0)  # what is cropped does not come around
            index = start + mx.remainder(index - start, length)
        x = mx.take(x, index, axis=axis)
    return x


def repeat_each(x: mx.array, repeats: mx.array, axis: int | None) -> mx.array:
    """Repeat element i of an axis repeats[i] times; without an axis, of x.flatten().

    Shapes: x [..., N, ...], repeats [N] or [] -> [..., Σ repeats, ...].
    """
    x = x.flatten() if axis is None else x
    axis = axis or 0
    counts = mx.broadcast_to(repeats, [x.shape[axis]]).tolist()
    index = [i for i, count in enumerate(counts) for _ in range(count)]
    return mx.take(x, mx.array(index, dtype=mx.int32), axis=axis)


def argmax(x: mx.array, axis: int | None = None, keepdims: bool = False) -> mx.array:
    """Return the index of the largest value (int64). NaN counts as the largest, and the first one wins.

    Shapes: x [..., N, ...] -> the same without the axis, or with length 1 for keepdims; no axis means x.flatten().
    """
    if mx.issubdtype(x.dtype, mx.floating):
        x = mx.where(mx.isnan(x), mx.inf, x)
    flat = mx.argmax(x, axis=axis, keepdims=keepdims) if axis is not None else mx.argmax(x, keepdims=keepdims)
    return flat.astype(mx.int64)


def argmin(x: mx.array, axis: int | None = None, keepdims: bool = False) -> mx.array:
    """Return the index of the smallest value (int64). NaN counts as the smallest, and the first one wins.

    Shapes: x [..., N, ...] -> the same without the axis, or with length 1 for keepdims; no axis means x.flatten().
    """
    if mx.issubdtype(x.dtype, mx.floating):
        x = mx.where(mx.isnan(x), -mx.inf, x)
    flat = mx.argmin(x, axis=axis, keepdims=keepdims) if axis is not None else mx.argmin(x, keepdims=keepdims)
    return flat.astype(mx.int64)


def cumulative_extreme(x: mx.array, axis: int, largest: bool) -> list[mx.array]:
    """Return the running maximum or minimum, and the last index that reached it (int64).

    Shapes: x [...] -> two of the same.
    """
    values = mx.cummax(x, axis=axis) if largest else mx.cummin(x, axis=axis)
    shape = [1] * x.ndim
    shape[axis] = -1
    position = mx.arange(x.shape[axis]).reshape(shape)
    reached = (x == values) | mx.isnan(x)
    return [values, mx.cummax(mx.where(reached, position, 0), axis=axis).astype(mx.int64)]


def complex_prod(x: mx.array, axis: int | None, keepdims: bool) -> mx.array:
    """Multiply complex numbers along an axis, one after the other; without an axis, all of them.

    Shapes: x [..., N, ...] -> the same without the axis, or with length 1 for keepdims.
    """
    if axis is None:
        x, axis = x.flatten(), 0
    total = mx.ones([], dtype=x.dtype)
    for part in mx.split(x, x.shape[axis], axis=axis) if x.shape[axis] else []:
        total = total * part
    return total if keepdims else total.squeeze(axis)


def complex_logsumexp(x: mx.array, axis, keepdims: bool) -> mx.array:
    """Return the log of the sum of complex exponentials, shifted by the largest real part.

    Shapes: x [...] -> the same without the axes, or with length 1 for keepdims.
    """
    axes = tuple(axis) if isinstance(axis, list | tuple) else axis
    shift = mx.stop_gradient(mx.max(mx.real(x), axis=axes, keepdims=True))
    shift = mx.where(mx.isinf(shift), 0, shift)
    total = mx.log(mx.sum(mx.exp(x - shift), axis=axes, keepdims=True)) + shift
    return total if keepdims else total.squeeze(axes)


def moments(x: mx.array, axes: list[int], correction: float, keepdims: bool) -> list[mx.array]:
    """Return mean and variance with any correction, also of complex numbers; no axes means all.

    Shapes: x [...] -> two of the same without the axes, or with length 1 for keepdims.
    """
    axes = axes or list(range(x.ndim))
    count = math.prod(x.shape[axis] for axis in axes)
    mean = mx.mean(x, axis=axes, keepdims=True)
    centred = mx.abs(x - mean)
    total = mx.sum(centred * centred, axis=axes, keepdims=True)
    variance = total / max(count - correction, 0) if count - correction > 0 else total / mx.zeros_like(total)
    return [mean, variance] if keepdims else [mean.squeeze(axes), variance.squeeze(axes)]


def upper_pairs(x: mx.array) -> mx.array:
    """Return the elements above the diagonal of a square matrix, row by row.

    Shapes: x [N, N] -> [N (N - 1) / 2].
    """
    size = x.shape[0]
    places = [row * size + column for row in range(size) for column in range(row + 1, size)]
    return mx.take(x.flatten(), mx.array(places, dtype=mx.int32))


def chunk_cat(parts: list[mx.array], axis: int, chunks: int) -> mx.array:
    """Pad parts to a multiple of `chunks` along an axis, cut and flatten each chunk, and join them chunk by chunk.

    Shapes: parts [*A, Nᵢ, *Zᵢ] -> [*A, chunks, Σ ceil(Nᵢ / chunks)·prod(Zᵢ)].
    """
    rows = []
    for part in parts:
        axis = axis % part.ndim
        size = part.shape[axis]
        width = -(-size // chunks)
        part = mx.pad(part, [(0, width * chunks - size if a == axis else 0) for a in range(part.ndim)])
        rows.append(part.reshape([*part.shape[:axis], chunks, -1]))
    return mx.concatenate(rows, axis=-1)
