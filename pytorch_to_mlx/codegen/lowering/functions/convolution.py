"""Convolution forms that MLX does not offer directly. Channels last."""

import mlx.core as mx


def grouped_conv3d(x: mx.array, weight: mx.array, groups: int, **options) -> mx.array:
    """Convolve in three dimensions, group by group.

    Shapes: x [B, *S, I], weight [O, *K, I/g] -> [B, *S', O].
    """
    parts = zip(mx.split(x, groups, axis=-1), mx.split(weight, groups, axis=0), strict=True)
    return mx.concatenate([mx.conv3d(part, kernel, **options) for part, kernel in parts], axis=-1)


def split_transposed_groups(weight: mx.array, groups: int) -> mx.array:
    """Bring torch's transposed kernel into MLX's order. Shapes: weight [I, O/g, *K] -> [O, *K, I/g]."""
    inputs, outputs, *kernel = weight.shape
    weight = weight.reshape([groups, inputs // groups, outputs, *kernel])
    weight = weight.transpose(0, 2, *range(3, weight.ndim), 1)
    return weight.reshape([groups * outputs, *kernel, inputs // groups])


def conv_transpose(x, weight, stride, padding, output_padding, dilation, groups: int) -> mx.array:
    """Apply a transposed convolution with any output padding and groups.

    Shapes: x [B, *S, I], weight [O, *K, I/g] -> [B, *S', O].
    """
    kernel = weight.shape[1:-1]
    before = [d * (k - 1) - p for d, k, p in zip(dilation, kernel, padding, strict=True)]
    after = [b + o for b, o in zip(before, output_padding, strict=True)]
    count = len(kernel)

    def run(part: mx.array, kernels: mx.array) -> mx.array:
        widths = ([max(b, 0) for b in before], [max(a, 0) for a in after])
        y = mx.conv_general(
            part, kernels, 1, widths, kernel_dilation=list(dilation), input_dilation=list(stride), flip=True
        )
        crop = [slice(max(-b, 0), size - max(-a, 0)) for b, a, size in zip(before, after, y.shape[1:-1], strict=True)]
        return y[(slice(None), *crop)] if any(b < 0 or a < 0 for b, a in zip(before, after, strict=True)) else y

    if count and groups > 1:
        parts = zip(mx.split(x, groups, axis=-1), mx.split(weight, groups, axis=0), strict=True)
        return mx.concatenate([run(part, kernels) for part, kernels in parts], axis=-1)
    return run(x, weight)


def im2col(x: mx.array, kernel, dilation, padding, stride) -> mx.array:
    """Return image patches as columns.

    Shapes: x [B, C, H, W] -> [B, C·KH·KW, windows], both with or without B.
    """
    single = x.ndim == 3
    x = x[None] if single else x
    x = mx.pad(x, [(0, 0), (0, 0), (padding[0], padding[0]), (padding[1], padding[1])])
    for axis, (k, d, s) in enumerate(zip(kernel, dilation, stride, strict=True)):
        at = 2 + 2 * axis  # the first axis becomes two
        count = (x.shape[at] - d * (k - 1) - 1) // s + 1
        index = mx.arange(k)[:, None] * d + mx.arange(count)[None, :] * s
        x = mx.unflatten(mx.take(x, index.flatten(), axis=at), at, [k, count])
    batch, channels, kh, rows, kw, columns = x.shape
    x = x.transpose(0, 1, 2, 4, 3, 5).reshape([batch, channels * kh * kw, rows * columns])
    return x[0] if single else x


def col2im(x: mx.array, size, kernel, dilation, padding, stride) -> mx.array:
    """Add overlapping patches up to an image.

    Shapes: x [B, C·KH·KW, windows] -> [B, C, H, W], both with or without B.
    """
    single = x.ndim == 2
    x = x[None] if single else x
    height, width = size[0] + 2 * padding[0], size[1] + 2 * padding[1]
    rows = (height - dilation[0] * (kernel[0] - 1) - 1) // stride[0] + 1
    columns = (width - dilation[1] * (kernel[1] - 1) - 1) // stride[1] + 1
    patches = x.reshape([x.shape[0], -1, kernel[0], kernel[1], rows, columns])
    image = mx.zeros([x.shape[0], patches.shape[1], height, width], dtype=x.dtype)
    for i in range(kernel[0]):
        for j in range(kernel[1]):
            down, right = i * dilation[0], j * dilation[1]
            window = (
                slice(None),
                slice(None),
                slice(down, down + rows * stride[0], stride[0]),
                slice(right, right + columns * stride[1], stride[1]),
            )
            image = image.at[window].add(patches[:, :, i, j])
    image = image[:, :, padding[0] : height - padding[0], padding[1] : width - padding[1]]
    return image[0] if single else image
