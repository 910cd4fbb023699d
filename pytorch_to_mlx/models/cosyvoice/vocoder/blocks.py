"""The residual block of the vocoder."""

import mlx.core as mx
import mlx.nn as nn

from ....backend import ops
from ....nn.conv import Conv1d
from ....nn.stream import Stream


class ResBlock(nn.Module):
    """For each dilation: snake, dilated convolution, snake, convolution, added to the input.

    Shapes: x [B, L, D] -> [B, L, D]. Source: Kong et al. 2020 (HiFi-GAN), appendix A; Ziyin et al. 2020 (snake).
    """

    def __init__(self, channels: int, kernel_size: int, dilations: tuple[int, ...]) -> None:
        super().__init__()
        half = (kernel_size - 1) // 2
        self.convs1 = [Conv1d(channels, channels, kernel_size, padding=half * d, dilation=d) for d in dilations]
        self.convs2 = [Conv1d(channels, channels, kernel_size, padding=half) for _ in dilations]
        self.alphas1 = [mx.ones(channels) for _ in dilations]
        self.alphas2 = [mx.ones(channels) for _ in dilations]

    def __call__(self, x: mx.array, stream: Stream) -> mx.array:
        pairs = zip(self.alphas1, self.convs1, self.alphas2, self.convs2, strict=True)
        for alpha1, conv1, alpha2, conv2 in pairs:
            y = stream.conv1d(conv1, snake(x, alpha1))
            x = stream.conv1d(conv2, snake(y, alpha2), add=x)
        mx.eval(x)  # blocks evaluated together would take turns, and none would find its arrays in the cache
        return x


def snake(x: mx.array, alpha: mx.array) -> mx.array:
    """The reference's snake, which is finite at alpha = 0."""
    return ops.snake(x, alpha + 1e-9)
