"""The two residual blocks whose norms follow the style. Li et al. 2023, "StyleTTS 2", section 3 and appendix B."""

import math

import mlx.core as mx
import mlx.nn as nn

from ...backend import ops
from ...cancel import unless_cancelled
from ...nn.conv import Conv1d, ConvTranspose1d
from ...nn.norm import AdaIN


class StyleBlock(nn.Module):
    """y = (shortcut(x) + conv(norm(conv(norm(x))))) / √2, leaky ReLU after each norm; with `upsample` twice the steps.

    Source: AdainResBlk1d of kokoro 0.9.4, kokoro/istftnet.py.
    """

    def __init__(self, dim_in: int, dim_out: int, style_dim: int, *, upsample: bool = False) -> None:
        super().__init__()
        self.upsample = upsample
        self.norm1 = AdaIN(style_dim, dim_in)
        if upsample:
            self.pool = ConvTranspose1d(dim_in, dim_in, 3, stride=2, padding=1, output_padding=1, groups=dim_in)
        self.conv1 = Conv1d(dim_in, dim_out, 3, padding=1)
        self.norm2 = AdaIN(style_dim, dim_out)
        self.conv2 = Conv1d(dim_out, dim_out, 3, padding=1)
        if dim_in != dim_out:
            self.shortcut = Conv1d(dim_in, dim_out, 1, bias=False)

    def __call__(self, x: mx.array, style: mx.array) -> mx.array:
        """Apply the block. Shapes: x [B, L, D_in], style [B, S] -> [B, L or 2L, D_out]."""
        y = self.norm1.leaky_relu(x, style, 0.2)
        y = self.conv1(self.pool(y) if self.upsample else y)
        y = self.conv2(self.norm2.leaky_relu(y, style, 0.2))
        x = self.shortcut(x) if "shortcut" in self else x
        x = mx.repeat(x, 2, axis=1) if self.upsample else x
        return unless_cancelled(ops.add(y, x, scale=math.sqrt(0.5)))


class SnakeBlock(nn.Module):
    """For each dilation: norm, snake, dilated convolution, norm, snake, convolution, added to the input.

    Source: AdaINResBlock1 of kokoro 0.9.4, kokoro/istftnet.py; Ziyin et al. 2020 (snake).
    """

    def __init__(self, channels: int, kernel_size: int, dilations: tuple[int, ...], style_dim: int) -> None:
        super().__init__()
        half = (kernel_size - 1) // 2
        self.convs1 = [Conv1d(channels, channels, kernel_size, padding=half * d, dilation=d) for d in dilations]
        self.convs2 = [Conv1d(channels, channels, kernel_size, padding=half) for _ in dilations]
        self.norms1 = [AdaIN(style_dim, channels) for _ in dilations]
        self.norms2 = [AdaIN(style_dim, channels) for _ in dilations]
        self.alphas1 = [mx.ones(channels) for _ in dilations]
        self.alphas2 = [mx.ones(channels) for _ in dilations]

    def __call__(self, x: mx.array, style: mx.array) -> mx.array:
        """Apply the block. Shapes: x [B, L, D], style [B, S] -> [B, L, D]."""
        first = zip(self.norms1, self.alphas1, self.convs1, strict=True)
        second = zip(self.norms2, self.alphas2, self.convs2, strict=True)
        for (norm1, alpha1, conv1), (norm2, alpha2, conv2) in zip(first, second, strict=True):
            y = conv1(norm1.snake(x, style, alpha1))
            x = unless_cancelled(conv2(norm2.snake(y, style, alpha2), add=x))
        return x
