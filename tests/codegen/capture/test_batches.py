"""An example with a batch of one: the source takes every batch, where the original does."""

import mlx.core as mx
import numpy as np
import pytest
import torch
from torch import nn

from pytorch_to_mlx import convert
from pytorch_to_mlx.codegen.convert_module import load_generated


class Conv(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 4, 3, padding=1), nn.Linear(4, 5)

    def forward(self, x, scale):
        return self.head(self.conv(x).flatten(2).mean(2)) * scale.view(-1, 1)


class OneImage(nn.Module):
    """The image is one, the points are as many as they are."""

    def forward(self, image, points):
        return image.repeat_interleave(points.shape[0], dim=0) * points[:, None]


class OneOnly(nn.Module):
    def forward(self, x):
        return x.squeeze(0).view(3, 4).T if x.shape[0] == 1 else x


def check(model, module, *inputs):
    """The right values are PyTorch's."""
    ours = np.array(model(*(mx.array(x.numpy()) for x in inputs)))
    np.testing.assert_allclose(ours, module(*inputs).detach().numpy(), rtol=1e-5, atol=1e-5)


def test_a_batch_of_one_stands_for_any(tmp_path):
    module = Conv()
    result = convert(module, tmp_path / "out", example_inputs=(torch.randn(1, 3, 7, 9), torch.randn(1)))
    result.check()
    assert result.fixed == ["axis 1 of x is 3 only"]
    assert [one["size"] for one in result.outputs][:2] == ["as captured", "x[0]=1"]
    model = load_generated(tmp_path / "out")
    for batch in (1, 2, 5):
        check(model, module, torch.randn(batch, 3, 6, 11), torch.randn(batch))


def test_one_image_and_any_number_of_points(tmp_path):
    module = OneImage()
    result = convert(module, tmp_path / "out", example_inputs=(torch.randn(1, 6), torch.randn(3)))
    result.check()
    assert result.fixed == ["axis 0 of image is 1 only"]
    model = load_generated(tmp_path / "out")
    check(model, module, torch.randn(1, 4), torch.randn(5))


@pytest.mark.parametrize("batch", [1])
def test_code_that_treats_a_batch_of_one_in_another_way(tmp_path, batch):
    """The source does what the original does with a batch such as the example's, and refuses the other."""
    module = OneOnly()
    convert(module, tmp_path / "out", example_inputs=torch.randn(batch, 12)).check()
    model = load_generated(tmp_path / "out")
    check(model, module, torch.randn(batch, 12))
    with pytest.raises(ValueError, match="only"):
        model(mx.zeros((3 - batch, 12)))
