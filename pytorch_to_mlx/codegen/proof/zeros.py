"""Weights that are all zero, as in the last layers of diffusion models: on them a mistake would not show."""

import contextlib
import itertools
from collections.abc import Iterator

import torch
from torch import nn


@contextlib.contextmanager
def random_zeros(module: nn.Module) -> Iterator[None]:
    """Put random numbers in place of floating weights that are all zero, and zeros back at the end."""
    generator = torch.Generator().manual_seed(0)
    tensors = itertools.chain(module.parameters(), module.buffers())
    zeros = [t.data for t in tensors if t.is_floating_point() and t.numel() and not t.any()]
    for tensor in zeros:
        tensor.copy_(0.5 * torch.randn(tensor.shape, generator=generator))
    try:
        yield
    finally:
        for tensor in zeros:
            tensor.zero_()
