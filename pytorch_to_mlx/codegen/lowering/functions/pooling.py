"""Pooling with torch's rules for padding, rounding up and divisors. Channels first."""

# MLX's types let item and tolist return any scalar, complex ones too. The rules are off for the whole file,
# because a comment on a line would be copied into generated source with it.
# pyright: reportArgumentType=false

import math

import mlx.core as mx

from .scatter import put


def pooled_size(size: int, kernel: int, stride: int, padding: int, dilation: int, ceil: bool) -> int:
    """Return the length that torch's pooling gives."""
    free = size + 2 * padding - dilation * (kernel - 1) - 1
    count = (-(-free // stride) if ceil else free // stride) + 1
    if ceil and (count - 1) * stride >= size + padding:  # the last window must start inside
        count -= 1
    return count


def pool_windows(x: mx.array, kernel, stride, padding, dilation, ceil: bool, fill) -> tuple[mx.array, list[mx.array]]:
    """Return the windows over the last axes, and per axis the index (before padding) of each window element.

    Shapes: x [..., *S] -> [..., *S', *K], and one [S'ᵢ, Kᵢ] per axis.
    """
    count = len(kernel)
    places = []
    for i in range(count):
        axis = x.ndim - count + i
        size = x.shape[axis]
        outputs = pooled_size(size, kernel[i], stride[i], padding[i], dilation[i], ceil)
        places.append(
            mx.arange(outputs)[:, None] * stride[i] + mx.arange(kernel[i])[None, :] * dilation[i] - padding[i]
        )
    lead = x.ndim - count
    for i, place in enumerate(places):
        axis = lead + 2 * i
        size = x.shape[axis]
        inside = (place >= 0) & (place < size)
        elements = mx.take(x, mx.clip(place, 0, max(size - 1, 0)).flatten(), axis=axis)
        elements = mx.unflatten(elements, axis, list(place.shape))
        if padding[i] or ceil:
            inside = inside.reshape([*place.shape, *[1] * (elements.ndim - axis - 2)])
            elements = mx.where(inside, elements, mx.array(fill, x.dtype))
        x = elements
    order = [*range(lead), *range(lead, lead + 2 * count, 2), *range(lead + 1, lead + 2 * count, 2)]
    return x.transpose(*order), places


def lowest(dtype: mx.Dtype):
    """Return the smallest value of a dtype."""
    return -mx.inf if mx.issubdtype(dtype, mx.floating) else mx.iinfo(dtype).min


def max_pool(x: mx.array, kernel, stride, padding, dilation, ceil: bool = False) -> mx.array:
    """Take the maximum over windows of the last axes. Shapes: x [..., *S] -> [..., *S']."""
    windows, _ = pool_windows(x, kernel, stride, padding, dilation, ceil, lowest(x.dtype))
    return mx.max(windows, axis=tuple(range(-len(kernel), 0)))


def max_pool_indices(x: mx.array, kernel, stride, padding, dilation, ceil: bool = False) -> list[mx.array]:
    """Take the maximum over windows, with its place in the flattened last axes (int64).

    Shapes: x [..., *S] -> two of [..., *S'].
    """
    count = len(kernel)
    windows, places = pool_windows(x, kernel, stride, padding, dilation, ceil, lowest(x.dtype))
    flat = mx.flatten(windows, -count, -1)
    # torch compares in order and takes NaN: the first largest value, or the last NaN
    nan = mx.isnan(flat)
    order = mx.arange(flat.shape[-1])
    winner = mx.where(
        mx.any(nan, axis=-1),
        mx.max(mx.where(nan, order, -1), axis=-1),
        mx.argmax(mx.where(nan, -mx.inf, flat), axis=-1),
    )
    position = mx.zeros(flat.shape, dtype=mx.int64)
    sizes = x.shape[-count:]
    for i, place in enumerate(places):
        shape = [1] * (2 * count)
        shape[i], shape[count + i] = place.shape
        item = place.reshape(shape).astype(mx.int64) * math.prod(sizes[i + 1 :])
        whole = [p.shape[0] for p in places] + [p.shape[1] for p in places]
        position = position + mx.flatten(mx.broadcast_to(item, whole), count, -1)
    values = mx.take_along_axis(flat, winner[..., None], axis=-1).squeeze(-1)
    return [values, mx.take_along_axis(position, winner[..., None], axis=-1).squeeze(-1)]


def avg_pool(x: mx.array, kernel, stride, padding, ceil: bool, include_pad: bool, divisor: int | None) -> mx.array:
    """Average windows of the last axes; a window counts what it covers of the padded (or of the real) input.

    Shapes: x [..., *S] -> [..., *S']. divisor: what to divide by instead.
    """
    count = len(kernel)
    windows, places = pool_windows(x, kernel, stride, padding, [1] * count, ceil, 0)
    total = mx.sum(windows, axis=tuple(range(-count, 0)))
    if divisor is not None:
        return total / divisor
    for i, place in enumerate(places):
        size, margin = x.shape[x.ndim - count + i], padding[i] if include_pad else 0
        inside = (place >= -margin) & (place < size + margin)
        covered = mx.sum(inside.astype(x.dtype), axis=1)
        total = total / covered.reshape([-1] + [1] * (count - 1 - i))
    return total


def averaging_matrix(size: int, outputs: int, dtype: mx.Dtype) -> mx.array:
    """Return the matrix whose row i averages elements floor(i·size/outputs) … ceil((i+1)·size/outputs) - 1.

    Shapes: -> [outputs, size].
    """
    row, column = mx.arange(outputs)[:, None], mx.arange(size)[None, :]
    start, end = row * size // outputs, ((row + 1) * size + outputs - 1) // outputs
    return ((column >= start) & (column < end)).astype(dtype) / (end - start)


def adaptive_avg_pool(x: mx.array, sizes: list) -> mx.array:
    """Average windows that cover the last axes evenly; None keeps a size.

    Shapes: x [..., *S] -> [..., *sizes].
    """
    for i, outputs in enumerate(sizes):
        axis = x.ndim - len(sizes) + i
        if outputs is not None and outputs != x.shape[axis]:
            matrix = averaging_matrix(x.shape[axis], outputs, x.dtype)
            x = mx.moveaxis(mx.moveaxis(x, axis, -1) @ matrix.T, -1, axis)
    return x


def adaptive_max_pool(x: mx.array, sizes: list[int]) -> list[mx.array]:
    """Take the maximum over windows that cover the last axes evenly, with its place in the flattened axes (int64).

    Shapes: x [..., *S] -> two of [..., *sizes].
    """
    count = len(sizes)
    spans = [
        [(i * size // outputs, -(-(i + 1) * size // outputs)) for i in range(outputs)]
        for size, outputs in zip(x.shape[-count:], sizes, strict=True)
    ]
    position = mx.arange(math.prod(x.shape[-count:]), dtype=mx.int64).reshape(x.shape[-count:])
    values, places = [], []
    cells = [()]
    for span in spans:
        cells = [(*cell, slice(*bounds)) for cell in cells for bounds in span]
    for cell in cells:
        part = mx.flatten(x[(..., *cell)], -count, -1)
        winner = mx.argmax(part, axis=-1, keepdims=True)
        values.append(mx.take_along_axis(part, winner, axis=-1))
        places.append(mx.take(position[cell].flatten(), winner))
    shape = [*x.shape[: x.ndim - count], *sizes]
    if not values:
        return [mx.zeros(shape, dtype=x.dtype), mx.zeros(shape, dtype=mx.int64)]
    return [mx.concatenate(parts, axis=-1).reshape(shape) for parts in (values, places)]


def max_unpool(x: mx.array, indices: mx.array, size: list[int], accumulate: bool = False) -> mx.array:
    """Put values back at their places in the flattened last axes, 0 elsewhere; accumulate adds where places repeat.

    Shapes: x and indices [..., *S] -> [..., *size].
    """
    count = len(size)
    lead = list(x.shape[: x.ndim - count])
    cells, area = math.prod(x.shape[x.ndim - count :]), math.prod(size)
    offset = mx.arange(math.prod(lead), dtype=mx.int64)[:, None] * area
    places = (indices.reshape([-1, cells]) + offset).flatten()
    flat = mx.zeros([math.prod(lead) * area], dtype=x.dtype)
    if not places.size:
        return flat.reshape([*lead, *size])
    flat = flat.at[places].add(x.flatten()) if accumulate else put(flat, places, x.flatten())
    return flat.reshape([*lead, *size])


def fractional_max_pool(x: mx.array, kernel: list[int], sizes: list[int], samples: mx.array) -> list[mx.array]:
    """Take the maximum over windows whose starts follow random samples, with its place in the flattened axes (int64).

    Shapes: x [B, C, *S] or [C, *S], samples [B, C, axes] -> two of [B, C, *sizes] or [C, *sizes]. Source: Graham 2014.
    """
    count = len(kernel)
    batched = x.ndim == count + 2
    x = x if batched else x[None]
    planes = x.reshape([-1, *x.shape[-count:]])
    draws = samples.reshape([-1, count]).tolist()
    rows = []
    for plane, draw in zip(planes, draws, strict=True):
        # the samples stand in the order of the last axis first in two dimensions, of the first axis first in three
        draw = draw[::-1] if count == 2 else draw
        index = [
            mx.array(fractional_starts(draw[i], plane.shape[i], sizes[i], kernel[i]))[:, None] + mx.arange(kernel[i])
            for i in range(count)
        ]
        flat = mx.zeros([1] * (2 * count), dtype=mx.int64)
        for i, item in enumerate(index):
            shape = [1] * (2 * count)
            shape[i], shape[count + i] = item.shape
            flat = flat + item.reshape(shape).astype(mx.int64) * math.prod(plane.shape[i + 1 :])
        flat = mx.flatten(flat, count, -1)
        windows = mx.take(plane.flatten(), flat)
        winner = mx.argmax(windows, axis=-1, keepdims=True)
        rows.append([mx.take_along_axis(part, winner, axis=-1).squeeze(-1) for part in (windows, flat)])
    shape = [*x.shape[: x.ndim - count], *sizes]
    results = [mx.stack(list(parts)).reshape(shape) for parts in zip(*rows, strict=True)]
    return results if batched else [part[0] for part in results]


def fractional_starts(sample: float, size: int, outputs: int, kernel: int) -> list[int]:
    """Return where the windows of one axis begin. sample: a number in [0, 1)."""
    if outputs < 2:
        return [size - kernel]
    alpha = (size - kernel) / (outputs - 1)
    starts = [int((i + sample) * alpha) - int(sample * alpha) for i in range(outputs - 1)]
    return [*starts, size - kernel]
