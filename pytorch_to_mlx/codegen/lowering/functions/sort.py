"""Order: sorting with indices, order statistics, distinct values, histograms."""

# MLX's types let item and tolist return any scalar, complex ones too. The rules are off for the whole file,
# because a comment on a line would be copied into generated source with it.
# pyright: reportArgumentType=false, reportAssignmentType=false

import math

import mlx.core as mx

from .scatter import nonzero


def sort_key(x: mx.array, descending: bool) -> mx.array:
    """Return a key whose ascending order sorts x; NaN counts as the largest value. Shapes: x [...] -> [...]."""
    if x.dtype == mx.bool_:
        x = x.astype(mx.uint8)
    if mx.issubdtype(x.dtype, mx.floating):
        x = mx.where(mx.isnan(x), mx.inf, x)
        return -x if descending else x
    return ~x if descending else x


def argsort(x: mx.array, axis: int = -1, descending: bool = False) -> mx.array:
    """Return the stable order of x along an axis, as int64. Shapes: x [...] -> the same."""
    return mx.argsort(sort_key(x, descending), axis=axis).astype(mx.int64) if x.ndim else mx.zeros([], dtype=mx.int64)


def sort(x: mx.array, axis: int = -1, descending: bool = False) -> list[mx.array]:
    """Sort x along an axis; return the values and their indices (int64). Shapes: x [...] -> two of the same."""
    if not x.ndim:
        return [x, mx.zeros([], dtype=mx.int64)]
    order = argsort(x, axis, descending)
    return [mx.take_along_axis(x, order, axis=axis), order]


def topk(x: mx.array, k: int, axis: int = -1, largest: bool = True) -> list[mx.array]:
    """Return the k largest (or smallest) values in order, and their indices (int64).

    Shapes: x [..., N, ...] -> two of [..., k, ...].
    """
    if not x.ndim:
        return [x, mx.zeros([], dtype=mx.int64)]
    order = argsort(x, axis, largest)
    order = order[(*[slice(None)] * (axis % x.ndim), slice(0, k))]
    return [mx.take_along_axis(x, order, axis=axis), order]


def kthvalue(x: mx.array, k: int, axis: int, keepdims: bool) -> list[mx.array]:
    """Return the k-th smallest value (k from 1) and its index (int64).

    Shapes: x [..., N, ...] -> two of the same without the axis, or with length 1 for keepdims.
    """
    if not x.ndim:
        return [x, mx.zeros([], dtype=mx.int64)]
    pick = (*[slice(None)] * (axis % x.ndim), slice(k - 1, k))
    values, order = (part[pick] for part in sort(x, axis))
    return [values, order] if keepdims else [values.squeeze(axis), order.squeeze(axis)]


def median(x: mx.array, axis: int, keepdims: bool, skip_nan: bool) -> list[mx.array]:
    """Return torch's median (the lower of two) along an axis, and its index (int64).

    Shapes: x [..., N, ...] -> two of the same without the axis, or with length 1 for keepdims.
    skip_nan: NaN does not count; otherwise one NaN is the median.
    """
    if not x.ndim:
        return [x, mx.zeros([], dtype=mx.int64)]
    values, order = sort(x, axis)
    size = x.shape[axis]
    place = mx.full([], (size - 1) // 2, dtype=mx.int64)
    if mx.issubdtype(x.dtype, mx.floating):
        nans = mx.sum(mx.isnan(x).astype(mx.int64), axis=axis, keepdims=True)
        place = mx.maximum((size - nans - 1) // 2, 0) if skip_nan else mx.where(nans > 0, size - nans, (size - 1) // 2)
    else:
        place = mx.broadcast_to(place, [1 if a == axis % x.ndim else n for a, n in enumerate(x.shape)])
    parts = [mx.take_along_axis(part, place, axis=axis) for part in (values, order)]
    return parts if keepdims else [part.squeeze(axis) for part in parts]


def mode(x: mx.array, axis: int, keepdims: bool) -> list[mx.array]:
    """Return the most frequent value (the smallest of them) and the last index where it stands (int64).

    Shapes: x [..., N, ...] -> two of the same without the axis, or with length 1 for keepdims.
    """
    if not x.ndim:
        return [x, mx.zeros([], dtype=mx.int64)]
    moved = mx.moveaxis(x, axis, -1)
    equal = moved[..., :, None] == moved[..., None, :]
    count = mx.sum(equal.astype(mx.int32), axis=-1)
    frequent = count == mx.max(count, axis=-1, keepdims=True)
    order = argsort(moved, -1)
    first = mx.argmax(mx.take_along_axis(frequent, order, axis=-1), axis=-1, keepdims=True)
    value = mx.take_along_axis(moved, mx.take_along_axis(order, first, axis=-1), axis=-1)
    last = mx.max(mx.where(moved == value, mx.arange(moved.shape[-1]), -1), axis=-1, keepdims=True).astype(mx.int64)
    parts = [mx.moveaxis(part, -1, axis) for part in (value, last)]
    return parts if keepdims else [part.squeeze(axis) for part in parts]


def searchsorted(bounds: mx.array, x, right: bool) -> mx.array:
    """Count the bounds below x (or not above it, for right); leading axes of both go together.

    Shapes: bounds [N] and x [...], or bounds [..., N] and x [..., K] -> x's, int64.
    """
    x = mx.array(x)
    if bounds.ndim > 1:
        compare = bounds[..., None, :] <= x[..., :, None] if right else bounds[..., None, :] < x[..., :, None]
    else:
        compare = bounds <= x[..., None] if right else bounds < x[..., None]
    count = mx.sum(compare.astype(mx.int64), axis=-1)
    if mx.issubdtype(x.dtype, mx.floating):
        count = mx.where(mx.isnan(x), bounds.shape[-1], count).astype(mx.int64)
    return count


def isin(x: mx.array, test: mx.array, invert: bool) -> mx.array:
    """Return whether each element of x is among the test elements. Shapes: x [...], test of any shape -> x's, bool."""
    inside = mx.any(x[..., None] == test.flatten(), axis=-1) if test.size else mx.zeros(x.shape, dtype=mx.bool_)
    return mx.logical_not(inside) if invert else inside


def unique(x: mx.array, axis: int | None, neighbours: bool) -> list[mx.array]:
    """Return the distinct values (of a whole axis, or of all elements), the inverse map and the counts.

    Shapes: x [..., N, ...] -> [..., M, ...], [N], [M]; without an axis [M], x's, [M].
    neighbours: only equal neighbours are merged, in the order of x.
    """
    whole = x.flatten() if axis is None else mx.moveaxis(x, axis, 0)
    rows = whole.reshape([whole.shape[0], whole.size // max(whole.shape[0], 1)])
    count = rows.shape[0]
    if not count:
        empty = mx.zeros([0], dtype=mx.int64)
        return [x if axis is not None else whole, empty if axis is not None else empty.reshape(x.shape), empty]
    order = mx.arange(count)
    if not neighbours:
        for column in range(rows.shape[1] - 1, -1, -1):
            order = order[argsort(rows[order, column])]
    sorted_rows = rows[order]
    is_first = mx.any(sorted_rows[1:] != sorted_rows[:-1], axis=1)
    is_first = mx.concatenate([mx.array([True]), is_first])
    group = mx.cumsum(is_first.astype(mx.int64)) - 1
    inverse = mx.zeros([count], dtype=mx.int64)
    inverse[order] = group
    starts = nonzero(is_first)[:, 0]
    ends = mx.concatenate([starts[1:], mx.array([count], dtype=mx.int64)])
    values = whole[order[starts]]
    if axis is None:
        return [values, inverse.reshape(x.shape), ends - starts]
    return [mx.moveaxis(values, 0, axis), inverse, ends - starts]


def bincount(x: mx.array, minimum: int) -> mx.array:
    """Count how often each number from 0 occurs. Shapes: x [N] -> [max(minimum, largest + 1)] int64."""
    size = max(minimum, int(mx.max(x).item()) + 1 if x.size else 0)
    return mx.zeros([size], dtype=mx.int64).at[x].add(1)


def histc(x: mx.array, bins: int, low: float, high: float) -> mx.array:
    """Count x in `bins` equal bins from low to high; both 0 means the range of x.

    Shapes: x [...] -> [bins] float32.
    """
    x = x.flatten()
    if low == high and x.size:
        low, high = mx.min(x).item(), mx.max(x).item()
    if low == high:
        low, high = low - 1, high + 1
    place = (
        mx.floor((x - low) * bins / (high - low))
        if mx.issubdtype(x.dtype, mx.floating)
        else (x - low) * bins // (high - low)
    )
    place = mx.clip(place, 0, bins - 1).astype(mx.int32)
    inside = (x >= low) & (x <= high)
    return mx.zeros([bins], dtype=mx.float32).at[place].add(inside.astype(mx.float32))


def histogram_edges(x: mx.array, bins: list[int], limits) -> list[mx.array]:
    """Return equal edges per column of x; limits gives low and high of each column.

    Shapes: x [..., D] -> D arrays [binsᵢ + 1].
    """
    x = x.reshape([math.prod(x.shape[:-1]), x.shape[-1]])
    edges = []
    for column, count in enumerate(bins):
        if limits is not None:
            low, high = limits[2 * column], limits[2 * column + 1]
        else:
            low, high = (mx.min(x[:, column]).item(), mx.max(x[:, column]).item()) if x.shape[0] else (0.0, 1.0)
        if low == high:
            low, high = low - 0.5, high + 0.5
        edges.append(mx.linspace(low, high, count + 1).astype(x.dtype))
    return edges


def histogram_between(x: mx.array, edges: list[mx.array], weight, density: bool) -> mx.array:
    """Sum the weights of the rows of x that lie in each box between the edges of every column.

    Shapes: x [..., D], D edges [binsᵢ + 1], weight [...] or None -> [*bins].
    """
    x = x.reshape([math.prod(x.shape[:-1]), x.shape[-1]])
    shape = [edge.shape[0] - 1 for edge in edges]
    place = mx.zeros([x.shape[0]], dtype=mx.int64)
    inside = mx.ones([x.shape[0]], dtype=mx.bool_)
    for column, edge in enumerate(edges):
        value = x[:, column]
        bin_number = mx.minimum(searchsorted(edge, value, True) - 1, shape[column] - 1)
        inside = inside & (value >= edge[0]) & (value <= edge[-1])
        place = place * shape[column] + mx.maximum(bin_number, 0)
    amount = mx.ones([x.shape[0]], dtype=x.dtype) if weight is None else weight.flatten()
    total = mx.zeros([math.prod(shape)], dtype=x.dtype).at[place].add(mx.where(inside, amount, 0)).reshape(shape)
    if density:
        total = total / mx.sum(total)
        for column, edge in enumerate(edges):
            total = total / (edge[1:] - edge[:-1]).reshape([-1 if i == column else 1 for i in range(len(shape))])
    return total


def histogramdd(x: mx.array, bins: list[int], limits, weight, density: bool, with_edges: bool):
    """Return a histogram over equal bins; with its edges if asked (for one column).

    Shapes: x [..., D], D bins, weight [...] or None -> [*bins].
    """
    edges = histogram_edges(x, bins, limits)
    total = histogram_between(x, edges, weight, density)
    return [total, edges[0]] if with_edges else total
