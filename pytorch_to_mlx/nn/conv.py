"""Convolutions over time, features last."""

import math

import mlx.core as mx
from mlx.nn import Module

from ..backend import ops


class Conv1d(Module):
    """A convolution over time: y[t] = bias + sum_k weight[:, k] x[t·stride + k·dilation - left] (+ add[t]).

    padding: zeros on both sides, or (left, right).
    Source: torch.nn.Conv1d, with features last.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        stride: int = 1,
        padding: int | tuple[int, int] = 0,
        dilation: int = 1,
        groups: int = 1,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.weight = _uniform((out_channels, kernel_size, in_channels // groups), kernel_size * in_channels // groups)
        if bias:
            self.bias = mx.zeros(out_channels)
        self.stride, self.padding, self.dilation, self.groups = stride, padding, dilation, groups

    def __call__(
        self,
        x: mx.array,
        add: mx.array | None = None,
        padding: int | tuple[int, int] | None = None,
        slope: float | None = None,
    ) -> mx.array:
        """Convolve x, and add `add` if there is one.

        padding: replaces the layer's own. slope: of a leaky ReLU that follows, 0 for ReLU.
        Shapes: x [B, L, D_in] -> add and y [B, (L + left + right - dilation·(K-1) - 1) // stride + 1, D_out].
        """
        return ops.conv1d(
            x,
            self.weight,
            self.get("bias"),
            stride=self.stride,
            padding=self.padding if padding is None else padding,
            dilation=self.dilation,
            groups=self.groups,
            add=add,
            slope=slope,
        )


class ConvTranspose1d(Module):
    """The transpose of a strided convolution: x[t] adds weight[:, k] x[t] to y[t·stride + k - padding].

    Source: Dumoulin & Visin 2016, section 4; torch.nn.ConvTranspose1d, with features last.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        stride: int = 1,
        padding: int = 0,
        output_padding: int = 0,
        groups: int = 1,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.weight = _uniform((out_channels, kernel_size, in_channels // groups), kernel_size * in_channels // groups)
        if bias:
            self.bias = mx.zeros(out_channels)
        self.stride, self.padding, self.output_padding, self.groups = stride, padding, output_padding, groups

    def __call__(self, x: mx.array) -> mx.array:
        """Upsample x. Shapes: x [B, L, D_in] -> [B, (L-1)·stride - 2·padding + K + output_padding, D_out]."""
        return ops.conv_transpose1d(
            x,
            self.weight,
            self.get("bias"),
            stride=self.stride,
            padding=self.padding,
            output_padding=self.output_padding,
            groups=self.groups,
        )


def _uniform(shape: tuple[int, ...], fan_in: int) -> mx.array:
    bound = 1 / math.sqrt(fan_in)
    return mx.random.uniform(-bound, bound, shape)
