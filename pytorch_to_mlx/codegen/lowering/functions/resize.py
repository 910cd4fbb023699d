"""Interpolation and sampling of images, with torch's positions. Channels first."""

import math
from itertools import product

import mlx.core as mx


def scaled_size(size: int, scale: float) -> int:
    """Return floor(size · scale), as torch.nn.functional.interpolate counts."""
    return math.floor(size * scale)


def resize_nearest(x: mx.array, sizes: list, scales: list | None, exact: bool) -> mx.array:
    """Take the nearest element along each of the last axes; exact counts from the centres.

    Shapes: x [..., *S] -> [..., *sizes].
    """
    for i, outputs in enumerate(sizes):
        axis = x.ndim - len(sizes) + i
        size = x.shape[axis]
        if outputs == size and len(sizes) == 2 and not exact:  # of images, torch then leaves out the scale
            continue
        step = size / outputs if scales is None else 1 / scales[i]
        index = mx.floor((mx.arange(outputs).astype(mx.float32) + (0.5 if exact else 0.0)) * step)
        x = mx.take(x, mx.minimum(index.astype(mx.int32), size - 1), axis=axis)
    return x


def cubic_weight(distance: mx.array, a: float) -> mx.array:
    """Return Keys' cubic kernel with parameter a. Shapes: distance [...] -> [...]. Source: Keys 1981."""
    t = mx.abs(distance)
    near = ((a + 2) * t - (a + 3)) * t * t + 1
    far = ((t - 5) * t + 8) * t * a - 4 * a
    return mx.where(t <= 1, near, mx.where(t < 2, far, 0))


def resize_matrix(size: int, outputs: int, scale, kind: str, align_corners: bool, antialias: bool) -> mx.array:
    """Return the weight of every input for every output of one axis. Shapes: -> [outputs, size]."""
    row = mx.arange(outputs).astype(mx.float32)
    if align_corners:
        step = (size - 1) / (outputs - 1) if outputs > 1 else 0.0
        centre = row * step
    else:
        step = size / outputs if scale is None else 1 / scale
        centre = (row + 0.5) * step - 0.5
    column = mx.arange(size).astype(mx.float32)
    if antialias:
        centre = (row + 0.5) * step - 0.5
        stretch = max(step, 1.0)
        distance = (column[None, :] - centre[:, None]) / stretch
        weight = cubic_weight(distance, -0.5) if kind == "cubic" else mx.maximum(1 - mx.abs(distance), 0)
        return weight / mx.sum(weight, axis=1, keepdims=True)
    if kind == "linear":
        centre = mx.clip(centre, 0, size - 1)
        return mx.maximum(1 - mx.abs(column[None, :] - centre[:, None]), 0)
    base = mx.floor(centre)
    matrix = mx.zeros([outputs, size])
    for tap in range(-1, 3):  # taps outside count for the edge
        place = mx.clip(base + tap, 0, size - 1)
        weight = cubic_weight(centre - (base + tap), -0.75)
        matrix = matrix + mx.where(column[None, :] == place[:, None], weight[:, None], 0)
    return matrix


def resize_smooth(
    x: mx.array, sizes: list, scales, kind: str, align_corners: bool, antialias: bool = False
) -> mx.array:
    """Interpolate the last axes, one after the other, by a "linear" or "cubic" kernel.

    Shapes: x [..., *S] -> [..., *sizes].
    """
    for i, outputs in enumerate(sizes):
        axis = x.ndim - len(sizes) + i
        keeps = scales is None or scales[i] == 1 or kind == "linear" or antialias  # torch then leaves out the scale
        if outputs == x.shape[axis] and keeps:
            continue
        scale = None if scales is None else scales[i]
        matrix = resize_matrix(x.shape[axis], outputs, scale, kind, align_corners, antialias).astype(x.dtype)
        x = mx.moveaxis(mx.moveaxis(x, axis, -1) @ matrix.T, -1, axis)
    return x


def unnormalize(position: mx.array, size: int, align_corners: bool) -> mx.array:
    """Turn a position in -1 … 1 into an index. Shapes: position [...] -> [...]."""
    return (position + 1) / 2 * (size - 1) if align_corners else ((position + 1) * size - 1) / 2


def reflect(index: mx.array, size: int, align_corners: bool) -> mx.array:
    """Fold an index back into the axis at its ends. Shapes: index [...] -> [...]."""
    low, high = (0, 2 * (size - 1)) if align_corners else (-1, 2 * size - 1)
    if low == high:
        return mx.zeros_like(index)
    start, span = low / 2, (high - low) / 2
    distance = mx.abs(index - start)
    turns, rest = mx.floor(distance / span), mx.remainder(distance, span)
    folded = mx.where(mx.remainder(turns, 2) == 0, rest + start, span - rest + start)
    return mx.clip(folded, 0, size - 1)


def grid_sample(x: mx.array, grid: mx.array, mode: str, padding: str, align_corners: bool) -> mx.array:
    """Read x at the positions of grid, which run from -1 to 1, the last axis of x first.

    Shapes: x [B, C, *S], grid [B, *T, len(S)] -> [B, C, *T].
    mode: "nearest", "bilinear" or "bicubic". padding: "zeros", "border" or "reflection".
    """
    sizes = x.shape[2:]
    count = len(sizes)
    raw = [unnormalize(grid[..., count - 1 - i], sizes[i], align_corners) for i in range(count)]

    def inside(index: mx.array, size: int) -> mx.array:
        if padding == "border":
            return mx.clip(index, 0, size - 1)
        return reflect(index, size, align_corners) if padding == "reflection" else index

    def read(place: list[mx.array]) -> mx.array:
        """Return the elements at whole-number places [B, *T] per axis; 0 outside."""
        valid, position = mx.ones(place[0].shape, dtype=mx.bool_), mx.zeros(place[0].shape, dtype=mx.int64)
        for index, size in zip(place, sizes, strict=True):
            valid = valid & (index >= 0) & (index <= size - 1)
            position = position * size + mx.clip(mx.nan_to_num(index), 0, size - 1).astype(mx.int64)
        flat = x.reshape([x.shape[0], x.shape[1], -1])
        places = mx.broadcast_to(position.reshape([x.shape[0], 1, -1]), [*x.shape[:2], math.prod(position.shape[1:])])
        values = mx.take_along_axis(flat, places, axis=2).reshape([*x.shape[:2], *position.shape[1:]])
        return mx.where(mx.expand_dims(valid, 1), values, 0)

    if mode == "nearest":
        return read([mx.round(inside(index, size)) for index, size in zip(raw, sizes, strict=True)])
    if mode == "bilinear":
        index = [inside(item, size) for item, size in zip(raw, sizes, strict=True)]
        base = [mx.floor(item) for item in index]
        total = mx.zeros([*x.shape[:2], *grid.shape[1:-1]], dtype=x.dtype)
        for corner in product((0, 1), repeat=count):
            weight = mx.ones(base[0].shape, dtype=x.dtype)
            for side, item, low in zip(corner, index, base, strict=True):
                weight = weight * ((item - low) if side else (low + 1 - item))
            value = read([low + side for side, low in zip(corner, base, strict=True)])
            total = total + value * mx.expand_dims(weight, 1)
        return total
    base = [mx.floor(item) for item in raw]
    total = mx.zeros([*x.shape[:2], *grid.shape[1:-1]], dtype=x.dtype)
    for taps in product(range(-1, 3), repeat=2):
        weight = mx.ones(base[0].shape, dtype=x.dtype)
        for tap, item, low in zip(taps, raw, base, strict=True):
            weight = weight * cubic_weight(item - (low + tap), -0.75)
        place = [inside(low + tap, size) for tap, low, size in zip(taps, base, sizes, strict=True)]
        total = total + read(place) * mx.expand_dims(weight, 1)
    return total


def affine_grid(theta: mx.array, size: list[int], align_corners: bool) -> mx.array:
    """Return the sampling positions of an affine map, for an image of a given size [B, C, *S].

    Shapes: theta [B, D, D+1] -> [B, *S, D].
    """
    axes = []
    for length in size[2:]:
        line = mx.linspace(-1, 1, length) if length > 1 else mx.zeros([1])
        axes.append(line if align_corners else line * (length - 1) / length)
    grids = mx.meshgrid(*axes, indexing="ij")
    base = mx.stack([*grids[::-1], mx.ones_like(grids[0])], axis=-1)
    lead = [size[0], -1, base.shape[-1]]
    flat = mx.broadcast_to(base.reshape([1, -1, base.shape[-1]]), [size[0], base.size // base.shape[-1], lead[2]])
    return (flat @ theta.swapaxes(1, 2)).reshape([size[0], *base.shape[:-1], theta.shape[1]])
