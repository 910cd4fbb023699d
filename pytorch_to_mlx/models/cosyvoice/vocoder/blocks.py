"""The residual block of the vocoder."""

from collections.abc import Callable

import mlx.core as mx
import mlx.nn as nn

from ....backend import ops
from ....nn.conv import Conv1d
from ....nn.stream import Stream


class ResBlock(nn.Module):
    """For each dilation add snake, dilated convolution, snake and convolution to the input.

    padding: gives the zeros before and after the signal of a convolution, by the steps that it spans beside its own.
    Source: Kong et al. 2020 (HiFi-GAN), appendix A; Ziyin et al. 2020 (snake).
    """

    def __init__(
        self,
        channels: int,
        kernel_size: int,
        dilations: tuple[int, ...],
        padding: Callable[[int], tuple[int, int]],
    ) -> None:
        super().__init__()
        size, span = (channels, channels, kernel_size), kernel_size - 1
        self.convs1 = [Conv1d(*size, padding=padding(span * d), dilation=d) for d in dilations]
        self.convs2 = [Conv1d(*size, padding=padding(span)) for _ in dilations]
        self.alphas1 = [mx.ones(channels) for _ in dilations]
        self.alphas2 = [mx.ones(channels) for _ in dilations]

    def __call__(self, x: mx.array, stream: Stream) -> mx.array:
        """Shapes: x [B, L, D] -> [B, L, D]."""
        pairs = zip(self.alphas1, self.convs1, self.alphas2, self.convs2, strict=True)
        for alpha1, conv1, alpha2, conv2 in pairs:
            y = stream.conv1d(conv1, snake(x, alpha1))
            x = stream.conv1d(conv2, snake(y, alpha2), add=x)
        mx.eval(x)  # blocks evaluated together are interleaved, and evict each other's arrays from the CPU's cache
        return x


def snake(x: mx.array, alpha: mx.array) -> mx.array:
    """x + sin²(alpha · x) / alpha, finite at alpha = 0 as in the reference.

    Shapes: x [B, L, D], alpha [D] -> [B, L, D]. Source: Ziyin et al. 2020, eq. 3.
    """
    return ops.snake(x, alpha + 1e-9)
