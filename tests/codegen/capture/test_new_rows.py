"""Rows of new tensors that the code writes into, and grids by torch.meshgrid without its option: at every size."""

import mlx.core as mx
import numpy as np
import pytest
import torch
from torch import nn

from pytorch_to_mlx import convert
from pytorch_to_mlx.codegen.convert_module import load_generated


class Padded(nn.Module):
    """Images put into one tensor with a mask of what is padding."""

    def forward(self, a, b):
        height, width = max(a.shape[1], b.shape[1]), max(a.shape[2], b.shape[2])
        batch = torch.zeros([2, 3, height, width])
        mask = torch.ones((2, height, width), dtype=torch.bool)
        for image, place, padding in zip((a, b), batch, mask, strict=True):
            place[:, : image.shape[1], : image.shape[2]].copy_(image)
            padding[: image.shape[1], : image.shape[2]] = False
        return batch, mask


class Grid(nn.Module):
    """A grid beside a tensor that is written into, so that PyTorch traces it twice."""

    def forward(self, a, b):
        y, x = torch.meshgrid(torch.arange(a.shape[1]), torch.arange(a.shape[2]))
        total = torch.zeros_like(a)
        total[:, 1:] += a[:, 1:]
        return total + y * 10 + x, b


@pytest.mark.parametrize("module", [Padded(), Grid()])
@pytest.mark.filterwarnings("ignore:torch.meshgrid")
def test_at_other_sizes(tmp_path, module):
    """The right values are PyTorch's."""
    result = convert(module, tmp_path / "out", example_inputs=(torch.randn(3, 5, 7), torch.randn(3, 6, 4)))
    result.check()
    assert not any("axis 1" in text or "axis 2" in text for text in result.fixed)
    model = load_generated(tmp_path / "out")
    for shapes in (((3, 9, 4), (3, 8, 11)), ((3, 2, 2), (3, 4, 4))):
        inputs = [torch.randn(shape) for shape in shapes]
        ours = model(*(mx.array(x.numpy()) for x in inputs))
        for left, right in zip(ours, module(*inputs), strict=True):
            np.testing.assert_array_equal(np.array(left), right.numpy())
