"""The MLX forms for own_parts.py: an op in four lines, a module in ten. Generated source carries copies of them."""

import mlx.core as mx
import mlx.nn as nn

from pytorch_to_mlx.codegen import register_module, register_op


@register_op("own::soft_clip")
def soft_clip(x, limit):
    """limit · tanh(x / limit)."""
    return limit * mx.tanh(x / limit)


@register_module(
    "own_parts.PowerNorm",
    arguments=lambda module: {"dims": module.weight.shape[-1], "degree": module.degree},
    weights=lambda state: {"weight": state["weight"].reshape(-1)},
)
class PowerNorm(nn.Module):
    """Divide by the mean power of degree p."""

    def __init__(self, dims, degree):
        super().__init__()
        self.degree = degree
        self.weight = mx.ones([dims])

    def __call__(self, states, mask):
        scale = ((states**self.degree).mean(-1, keepdims=True) + 1e-6) ** (-1 / self.degree)
        return states * scale * self.weight * mask[..., None], scale
