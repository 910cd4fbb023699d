"""Layer norm, and the norms whose scale and shift come from a style vector."""

import mlx.core as mx
from mlx.nn import Linear, Module

from ..backend import ops
from .linear import linear


class LayerNorm(Module):
    """Layer norm over the last axis: y = weight · (x - mean) / sqrt(var + eps) + bias.

    Source: Ba et al. 2016, eq. 3.
    """

    def __init__(self, size: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.weight = mx.ones(size)
        self.bias = mx.zeros(size)
        self.eps = eps

    def __call__(self, x: mx.array) -> mx.array:
        """Normalise the last axis. Shapes: x [..., D] -> [..., D]."""
        return ops.layer_norm(x, self.weight, self.bias, self.eps)


class AdaLayerNorm(Module):
    """Adaptive layer norm: y = (1 + gamma) · LN(x) + beta, (gamma, beta) = fc(style).

    Source: Li et al. 2023 (StyleTTS 2), appendix B; the norm of Ba et al. 2016.
    """

    def __init__(self, style_size: int, size: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.fc = Linear(style_size, 2 * size)
        self.eps = eps

    def __call__(self, x: mx.array, style: mx.array) -> mx.array:
        """Normalise each step in the given style. Shapes: x [B, L, D], style [B, S] -> [B, L, D]."""
        gamma, beta = mx.split(linear(self.fc, style)[:, None], 2, axis=-1)  # [B, 1, D] each
        return ops.layer_norm(x, 1 + gamma, beta, self.eps)


class AdaIN(Module):
    """Adaptive instance norm: y = (1 + gamma) · IN(x) + beta, (gamma, beta) = fc(style), over time per channel.

    Source: Huang & Belongie 2017, eq. 8, with the style projection of Karras et al. 2019 (StyleGAN), eq. 1.
    """

    def __init__(self, style_size: int, size: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.fc = Linear(style_size, 2 * size)
        self.eps = eps

    def scale_and_shift(self, style: mx.array) -> tuple[mx.array, mx.array]:
        """Return 1 + gamma and beta. Shapes: style [B, S] -> two of [B, 1, D]."""
        gamma, beta = mx.split(linear(self.fc, style)[:, None], 2, axis=-1)  # [B, 1, D] each
        return 1 + gamma, beta

    def __call__(self, x: mx.array, style: mx.array) -> mx.array:
        """Normalise each channel in the given style. Shapes: x [B, L, D], style [B, S] -> [B, L, D]."""
        return ops.instance_norm(x, self.eps, *self.scale_and_shift(style))

    def snake(self, x: mx.array, style: mx.array, alpha: mx.array) -> mx.array:
        """Normalise, then apply snake, in one pass.

        Shapes: x [B, L, D], style [B, S], alpha [D] -> [B, L, D]. Source: Ziyin et al. 2020, eq. 3 (snake).
        """
        return ops.instance_norm_snake(x, self.eps, *self.scale_and_shift(style), alpha)

    def leaky_relu(self, x: mx.array, style: mx.array, negative_slope: float) -> mx.array:
        """Normalise, then apply leaky ReLU, in one pass. Shapes: x [B, L, D], style [B, S] -> [B, L, D]."""
        return ops.instance_norm_leaky_relu(x, self.eps, *self.scale_and_shift(style), negative_slope)
