"""Writing into copies of arrays: by slice, index, mask and reduction."""

# MLX's types let item and tolist return any scalar, complex ones too. The rules are off for the whole file,
# because a comment on a line would be copied into generated source with it.
# pyright: reportArgumentType=false, reportGeneralTypeIssues=false

import itertools
import math

import mlx.core as mx


def put(x: mx.array, index, values) -> mx.array:
    """Return a copy of x with x[index] = values. Shapes: x [...] -> the same; values broadcast to x[index]."""
    x = mx.array(x)
    x[index] = values
    return x


def put_slice(x: mx.array, values, axis: int, start=None, stop=None, step=None) -> mx.array:
    """Return a copy of x whose elements start:stop:step of one axis are `values`.

    Shapes: x [..., N, ...], values [..., count, ...] -> x's.
    """
    return put(x, (*[slice(None)] * axis, slice(start, stop, step)), values)


def put_at(x: mx.array, values, axis: int, index) -> mx.array:
    """Return a copy of x whose element `index` of one axis is `values`.

    Shapes: x [..., N, ...], values [..., ...] without that axis -> x's.
    """
    return put(x, (*[slice(None)] * axis, index), values)


def normal_indices(x: mx.array, indices: list) -> list[mx.array | None]:
    """Replace each mask among the index arrays by the coordinates of its true elements.

    Shapes: indices [...], a mask as the axes it covers -> one index array, or None, per axis of x.
    """
    arrays: list[mx.array | None] = []
    for item in indices:
        if item is not None and item.dtype in (mx.bool_, mx.uint8):
            places = nonzero(item)
            arrays += [places[:, i] for i in range(item.ndim)]
        else:
            arrays.append(item)
    return arrays + [None] * (x.ndim - len(arrays))


def flat_positions(x: mx.array, indices: list) -> tuple[mx.array, list[int]]:
    """Return the positions in x.flatten() that x[indices] reads, in torch's order of axes, and their shape.

    Shapes: x [...] -> torch's shape of x[indices], int64.
    """
    indices = normal_indices(x, indices)
    used = [axis for axis, item in enumerate(indices) if item is not None]
    shape = mx.broadcast_shapes(*[indices[axis].shape for axis in used])
    together = used == list(range(used[0], used[-1] + 1))
    front = used[0] if together else 0
    free = [axis for axis in range(x.ndim) if axis not in used]
    before = [axis for axis in free if together and axis < used[0]]
    after = [axis for axis in free if axis not in before]
    result = [*[x.shape[a] for a in before], *shape, *[x.shape[a] for a in after]]
    position = mx.zeros([1] * len(result), dtype=mx.int64)
    for axis in range(x.ndim):
        stride = math.prod(x.shape[axis + 1 :])
        if axis in used:
            item = indices[axis].astype(mx.int64)
            item = mx.where(item < 0, item + x.shape[axis], item)
            item = item.reshape([1] * front + [1] * (len(shape) - item.ndim) + list(item.shape) + [1] * len(after))
        else:
            place = before.index(axis) if axis in before else front + len(shape) + after.index(axis)
            item = mx.arange(x.shape[axis], dtype=mx.int64)
            item = item.reshape([-1 if i == place else 1 for i in range(len(result))])
        position = position + item * stride
    return mx.broadcast_to(position, result), result


def take_at(x: mx.array, indices: list) -> mx.array:
    """Return x[indices] with torch's order of axes, when the index arrays are not the first ones.

    Shapes: x [...], indices an array or None per axis -> torch's shape of x[indices].
    """
    return mx.take(x.flatten(), flat_positions(x, indices)[0])


def index_by_mask(x: mx.array, indices: list) -> mx.array:
    """Return x[indices] where some are masks; the size of the result depends on the data.

    Shapes: x [...], a mask as the axes it covers -> torch's shape of x[indices].
    """
    if not x.ndim:
        x, indices = x.reshape([1]), [mx.array(item).reshape([1]) for item in indices]
    return take_at(x, indices)


def index_put(x: mx.array, indices: list, values: mx.array, accumulate: bool = False) -> mx.array:
    """Return a copy of x with x[indices] = values, or with the values added.

    Shapes: x [...] -> the same; values broadcast to x[indices].
    """
    if not x.ndim:
        return index_put(x.reshape([1]), [item.reshape([1]) for item in indices], values, accumulate).reshape([])
    position, shape = flat_positions(x, indices)
    values = mx.broadcast_to(values, shape).flatten()
    flat = mx.contiguous(x).flatten()
    if not position.size:
        return x
    if accumulate:
        return flat.at[position.flatten()].add(values).reshape(x.shape)
    return put(flat, position.flatten(), values).reshape(x.shape)


def masked_index(x: mx.array, mask: mx.array, indices: list, fill) -> mx.array:
    """Return x[indices], and `fill` where the mask is false (there the indices may lie outside x).

    Shapes: x [...] -> torch's shape of x[indices], to which the mask broadcasts.
    """
    safe = [
        None if item is None else mx.clip(item, -x.shape[axis], max(x.shape[axis] - 1, 0))
        for axis, item in enumerate(indices)
    ]
    if 0 in x.shape:
        shape = flat_positions(mx.zeros([max(size, 1) for size in x.shape]), safe)[1]
        return mx.full(shape, fill, dtype=x.dtype)
    values = take_at(x, safe)
    return mx.where(mask, values, mx.array(fill, x.dtype))


def masked_index_put(x: mx.array, mask: mx.array, indices: list, values: mx.array) -> mx.array:
    """Return x with values added at the indices where the mask is true.

    Shapes: x [...] -> the same; mask and values broadcast to x[indices].
    """
    if 0 in x.shape:
        return x
    safe = [
        None if item is None else mx.clip(item, -x.shape[axis], x.shape[axis] - 1) for axis, item in enumerate(indices)
    ]
    return index_put(x, safe, mx.where(mask, values, mx.zeros([], dtype=values.dtype)), True)


def nonzero(x: mx.array) -> mx.array:
    """Return the coordinates of the elements that are not 0, in row-major order.

    Shapes: x [...] -> [count, x.ndim] int64.
    """
    flags = (x != 0).flatten()
    count = int(mx.sum(flags.astype(mx.int32)).item()) if flags.size else 0
    if not count:
        return mx.zeros([0, x.ndim], dtype=mx.int64)
    size = flags.size
    # the true elements keep their order in front: a key that is unique needs no stable sort
    key = mx.where(flags, 0, size) + mx.arange(size)
    flat = mx.sort(key)[:count].astype(mx.int64)
    parts = []
    for length in reversed(x.shape):
        parts.append(mx.remainder(flat, length))
        flat = flat // length
    return mx.stack(parts[::-1], axis=1) if parts else mx.zeros([count, 0], dtype=mx.int64)


def nonzero_static(x: mx.array, size: int, fill: int) -> mx.array:
    """Return the first `size` coordinates of nonzero elements, filled up with `fill`.

    Shapes: x [...] -> [size, x.ndim] int64.
    """
    places = nonzero(x)[:size]
    return mx.concatenate([places, mx.full([size - places.shape[0], x.ndim], fill, dtype=mx.int64)])


def masked_select(x: mx.array, mask: mx.array) -> mx.array:
    """Return the elements of x where the mask is true, in row-major order.

    Shapes: x and mask [...], broadcast -> [count].
    """
    x, mask = mx.broadcast_arrays(x, mask)
    places = nonzero(mask.flatten())[:, 0]
    return mx.take(x.flatten(), places) if places.size else mx.zeros([0], dtype=x.dtype)


def masked_scatter(x: mx.array, mask: mx.array, source: mx.array) -> mx.array:
    """Replace the elements under the mask by the first elements of source, in row-major order.

    Shapes: x and mask [...], broadcast; source of any shape -> their common shape.
    """
    x, mask = mx.broadcast_arrays(x, mask)
    order = mx.cumsum(mask.flatten().astype(mx.int32)) - 1
    values = mx.take(source.flatten(), mx.clip(order, 0, max(source.size - 1, 0))) if source.size else x.flatten()
    return mx.where(mask, values.reshape(x.shape), x)


def diagonal_scatter(x: mx.array, values: mx.array, offset: int, axis1: int, axis2: int) -> mx.array:
    """Return x with one diagonal of two axes replaced.

    Shapes: x [..., N, M], values [..., length of the diagonal] -> x's.
    """
    places = mx.diagonal(mx.arange(x.size).reshape(x.shape), offset, axis1, axis2)
    return put(mx.contiguous(x).flatten(), places.flatten(), values.flatten()).reshape(x.shape)


def as_strided_scatter(x: mx.array, values: mx.array, size: list, stride: list, offset: int) -> mx.array:
    """Return x with the elements replaced that as_strided(x, size, stride, offset) would read.

    Shapes: x [...], values `size` -> x's.
    """
    places = mx.as_strided(mx.arange(x.size), size, stride, offset)
    return put(mx.contiguous(x).flatten(), places.flatten(), values.flatten()).reshape(x.shape)


def index_fill(x: mx.array, axis: int, index: mx.array, value) -> mx.array:
    """Set whole slices of one axis to a value. Shapes: x [..., N, ...], index [K] -> x's."""
    if not x.ndim:
        return mx.broadcast_to(mx.array(value, x.dtype), [])
    axis = axis % x.ndim
    if not index.size:
        return x
    return put(x, (*[slice(None)] * axis, index.reshape([-1])), mx.array(value, x.dtype))


def index_copy(x: mx.array, axis: int, index: mx.array, source: mx.array) -> mx.array:
    """Replace slices of one axis by slices of source.

    Shapes: x [..., N, ...], index [K], source [..., K, ...] -> x's.
    """
    if not x.ndim:
        return source.reshape([])
    axis = axis % x.ndim
    return put(x, (*[slice(None)] * axis, index.reshape([-1])), source.astype(x.dtype)) if index.size else x


def index_add(x: mx.array, axis: int, index: mx.array, source: mx.array) -> mx.array:
    """Add slices of source to slices of one axis.

    Shapes: x [..., N, ...], index [K], source [..., K, ...] -> x's.
    """
    if not x.ndim:
        return x + mx.sum(source).astype(x.dtype)
    axis = axis % x.ndim
    return x.at[(*[slice(None)] * axis, index.reshape([-1]))].add(source.astype(x.dtype)) if index.size else x


def put_flat(x: mx.array, index: mx.array, source: mx.array, accumulate: bool) -> mx.array:
    """Replace elements of x.flatten(), or add to them.

    Shapes: x [...], index and source of one size -> x's.
    """
    flat, index, source = mx.contiguous(x).flatten(), index.flatten(), source.flatten()
    if not index.size:
        return x
    return (flat.at[index].add(source) if accumulate else put(flat, index, source)).reshape(x.shape)


def scatter_positions(x: mx.array, axis: int, index: mx.array) -> mx.array:
    """Return the positions in x.flatten() that torch's scatter along an axis writes.

    Shapes: x [...], index with as many axes -> [index.size] int64.
    """
    position = mx.zeros([1] * x.ndim, dtype=mx.int64)
    for a in range(x.ndim):
        if a == axis % x.ndim:
            item = index.astype(mx.int64)
        else:
            item = mx.arange(index.shape[a], dtype=mx.int64).reshape([-1 if i == a else 1 for i in range(x.ndim)])
        position = position + item * math.prod(x.shape[a + 1 :])
    return position.flatten()


def scatter(x: mx.array, axis: int, index: mx.array, source, reduce: str = "", include_self: bool = True) -> mx.array:
    """Scatter along an axis as torch does: set, or reduce by "sum", "prod", "mean", "amax" or "amin".

    Shapes: x [...], index with as many axes, source a number or at least as large as index -> x's.
    """
    if not x.ndim:
        source = mx.array(source).reshape([-1]) if isinstance(source, mx.array) else source
        return scatter(x.reshape([1]), 0, index.reshape([-1]), source, reduce, include_self).reshape([])
    if not index.size:
        return x
    places = scatter_positions(x, axis, index)
    if isinstance(source, mx.array) and source.ndim:
        source = source[tuple(slice(0, size) for size in index.shape)].flatten().astype(x.dtype)
    else:
        source = mx.broadcast_to(mx.array(source).astype(x.dtype), [places.size])
    return reduce_at(mx.contiguous(x).flatten(), places, source, reduce, include_self).reshape(x.shape)


def reduce_at(flat: mx.array, places: mx.array, source: mx.array, reduce: str, include_self: bool) -> mx.array:
    """Set or reduce source into flat, at places along the first axis.

    Shapes: flat [N, ...], places [K], source [K, ...] -> flat's.
    """
    if not reduce:
        return put(flat, places, source)
    if not include_self:
        neutral = {"sum": 0, "mean": 0, "prod": 1}.get(reduce)
        if neutral is None:
            least, most = (
                (-mx.inf, mx.inf)
                if mx.issubdtype(flat.dtype, mx.floating)
                else (mx.iinfo(flat.dtype).min, mx.iinfo(flat.dtype).max)
            )
            neutral = least if reduce == "amax" else most
        flat = put(flat, places, mx.array(neutral, flat.dtype))
    at = flat.at[places]
    if reduce in ("amax", "amin"):
        return at.maximum(source) if reduce == "amax" else at.minimum(source)
    if reduce == "prod":
        return at.multiply(source)
    total = at.add(source)
    if reduce == "sum":
        return total
    count = mx.full(flat.shape[:1], 1 if include_self else 0, dtype=mx.int32).at[places].add(1)
    count = mx.maximum(count, 1).reshape([-1] + [1] * (flat.ndim - 1))
    return total // count if not mx.issubdtype(flat.dtype, mx.inexact) else total / count


def index_reduce(
    x: mx.array, axis: int, index: mx.array, source: mx.array, reduce: str, include_self: bool
) -> mx.array:
    """Reduce slices of source into slices of one axis of x.

    Shapes: x [..., N, ...], index [K], source [..., K, ...] -> x's.
    """
    if not x.ndim:
        return index_reduce(x.reshape([1]), 0, index.reshape([-1]), source.reshape([-1]), reduce, include_self).reshape(
            []
        )
    if not index.size:
        return x
    moved = mx.moveaxis(x, axis, 0)
    reduced = reduce_at(moved, index.reshape([-1]), mx.moveaxis(source, axis, 0).astype(x.dtype), reduce, include_self)
    return mx.moveaxis(reduced, 0, axis)


def segment_reduce(data: mx.array, reduce: str, lengths: mx.array, axis: int, initial) -> mx.array:
    """Reduce neighbouring runs of an axis; lengths gives the runs of each leading row.

    Shapes: data [*A, N, ...], lengths [*A, runs] -> [*A, runs, ...].
    """
    lead, runs = lengths.shape[:-1], lengths.shape[-1]
    rows = data.reshape([math.prod(lead), *data.shape[axis:]])
    neutral = {"sum": 0.0, "mean": 0.0, "prod": 1.0, "max": -mx.inf, "min": mx.inf}[reduce]
    start = neutral if initial is None else initial
    function = {"sum": mx.sum, "mean": mx.sum, "prod": mx.prod, "max": mx.max, "min": mx.min}[reduce]
    out = []
    for row, counts in zip(rows, lengths.reshape([-1, runs]).tolist(), strict=True):
        begin = 0
        for count in counts:
            part = row[begin : begin + count]
            begin += count
            first = mx.full([1, *row.shape[1:]], start, dtype=data.dtype)
            total = function(mx.concatenate([first, part]), axis=0)
            if reduce == "mean":
                total = (
                    total / count
                    if count
                    else mx.full(row.shape[1:], mx.nan if initial is None else start, dtype=data.dtype)
                )
            out.append(total)
    return mx.stack(out).reshape([*lead, runs, *data.shape[axis + 1 :]])


def embedding_bag(
    weight: mx.array, indices: mx.array, offsets: mx.array, mode: int, scale, include_last: bool, padding: int
) -> mx.array:
    """Return sums (mode 0), means (1) or maxima (2) of rows of weight, one per bag.

    Shapes: weight [V, D], indices [L], offsets [bags] (one more with include_last), scale [L] or None -> [bags, D].
    """
    bounds = offsets.tolist() if include_last else [*offsets.tolist(), indices.shape[0]]
    bags = []
    for begin, end in itertools.pairwise(bounds):
        ids = indices[begin:end]
        keep = nonzero(ids != padding)[:, 0] if padding >= 0 else mx.arange(end - begin)
        if not keep.size:
            bags.append(mx.zeros([weight.shape[1]], dtype=weight.dtype))
            continue
        rows = weight[ids[keep]]
        if scale is not None:
            rows = rows * scale[begin:end][keep][:, None]
        bags.append([mx.sum, mx.mean, mx.max][mode](rows, axis=0))
    return mx.stack(bags) if bags else mx.zeros([0, weight.shape[1]], dtype=weight.dtype)


def embedding_renorm(weight: mx.array, indices: mx.array, limit: float, p: float) -> mx.array:
    """Scale the rows of weight that indices name down to a p-norm of at most `limit`.

    Shapes: weight [V, D], indices [...] -> [V, D].
    """
    size = mx.power(mx.sum(mx.power(mx.abs(weight), p), axis=1, keepdims=True), 1 / p)
    scaled = mx.where(size > limit, weight * (limit / (size + 1e-7)), weight)
    used = mx.any(mx.arange(weight.shape[0])[:, None] == indices.flatten()[None, :], axis=1, keepdims=True)
    return mx.where(used, scaled, weight)
