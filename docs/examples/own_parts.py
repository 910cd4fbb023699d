"""A module with an op and a class of the user's own, which the converter does not know.

pytorch-to-mlx convert docs/examples/own_parts.py:build --extend docs/examples/own_parts_mlx.py --mlx-path own-mlx
"""

import torch
from torch import nn


@torch.library.custom_op("own::soft_clip", mutates_args=())
def soft_clip(x: torch.Tensor, limit: float) -> torch.Tensor:
    """An op of the user's own library: limit · tanh(x / limit)."""
    return limit * torch.tanh(x / limit)


@soft_clip.register_fake
def _(x, limit):
    return torch.empty_like(x)


class PowerNorm(nn.Module):
    """Divide by the mean power of degree p. As torch wrote it: a loop over powers, and a weight in its own layout."""

    def __init__(self, dims, degree=4):
        super().__init__()
        self.degree = degree
        self.weight = nn.Parameter(torch.rand(1, 1, dims) + 0.5)

    def forward(self, states, mask):
        power = states
        for _ in range(self.degree - 1):
            power = power * states
        scale = (power.mean(-1, keepdim=True) + 1e-6) ** (-1 / self.degree)
        return states * scale * self.weight * mask.unsqueeze(-1), scale


class Block(nn.Module):
    """A residual block with both."""

    def __init__(self, dims):
        super().__init__()
        self.norm = PowerNorm(dims)
        self.out = nn.Linear(dims, dims)

    def forward(self, x, mask):
        normed, _ = self.norm(x, mask)
        return x + soft_clip(self.out(normed), 2.0)


class Model(nn.Module):
    """Two blocks."""

    def __init__(self, dims=8):
        super().__init__()
        self.blocks = nn.ModuleList([Block(dims) for _ in range(2)])

    def forward(self, x, mask):
        for block in self.blocks:
            x = block(x, mask)
        return x


def build():
    """The module and example inputs."""
    torch.manual_seed(0)
    return Model().eval(), (torch.randn(2, 5, 8), torch.ones(2, 5))
