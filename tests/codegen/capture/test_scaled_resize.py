"""Images resized by a factor that follows from sizes: the source is right at every size."""

import mlx.core as mx
import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import interpolate

from pytorch_to_mlx import convert
from pytorch_to_mlx.codegen.convert_module import load_generated


class Positions(nn.Module):
    """Position embeddings of 4 · 4 patches, fitted to as many as an image has."""

    def __init__(self, mode: str, **options):
        super().__init__()
        self.positions = nn.Parameter(torch.randn(1, 6, 4, 4))
        self.mode, self.options = mode, options

    def forward(self, x):
        height, width = x.shape[2] // 8 + 0.1, x.shape[3] // 8 + 0.1
        factor = float(height) / 4, float(width) / 4
        positions = interpolate(self.positions, scale_factor=factor, mode=self.mode, **self.options)
        assert int(width) == positions.shape[-1]
        return positions * x.mean((1, 2, 3), keepdim=True)


class Grow(nn.Module):
    def forward(self, x, y):
        return nn.functional.interpolate(x, scale_factor=y.shape[-1] / x.shape[-1], mode="nearest")


@pytest.mark.parametrize("mode, options", [
    ("bicubic", {}), ("bicubic", {"antialias": True}), ("bilinear", {"align_corners": True}), ("nearest-exact", {}),
])  # fmt: skip
def test_positions_fitted_to_an_image(tmp_path, mode, options):
    """The right values are PyTorch's at the other sizes."""
    module = Positions(mode, **options)
    result = convert(module, tmp_path / "out", example_inputs=(torch.randn(2, 3, 40, 56),))
    result.check()
    model = load_generated(tmp_path / "out")
    for shape in ((1, 3, 24, 80), (3, 3, 32, 32), (1, 3, 71, 16)):
        x = torch.randn(shape)
        ours = np.array(model(mx.array(x.numpy())))
        np.testing.assert_allclose(ours, module(x).detach().numpy(), rtol=1e-4, atol=1e-5)


def test_one_factor_for_all_axes(tmp_path):
    """The right values are PyTorch's, which rounds the lengths down and divides by the factor itself."""
    module = Grow()
    convert(module, tmp_path / "out", example_inputs=(torch.randn(2, 3, 5, 7), torch.randn(2, 10))).check()
    model = load_generated(tmp_path / "out")
    for shape, length in (((1, 3, 9, 5), 13), ((3, 3, 4, 8), 6)):
        x, y = torch.randn(shape), torch.randn(shape[0], length)
        ours = np.array(model(mx.array(x.numpy()), mx.array(y.numpy())))
        np.testing.assert_array_equal(ours, module(x, y).numpy())
