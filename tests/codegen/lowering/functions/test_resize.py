"""Interpolation and sampling, against torch."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from pytorch_to_mlx.codegen.capture.tensors import to_mlx, to_numpy
from pytorch_to_mlx.codegen.lowering.functions import resize

torch.manual_seed(0)
X = torch.randn(2, 3, 5, 7)


def close(ours, expected):
    np.testing.assert_allclose(to_numpy(ours), expected.numpy(), atol=1e-5)


@pytest.mark.parametrize("exact", [False, True])
def test_nearest(exact):
    mode = "nearest-exact" if exact else "nearest"
    close(resize.resize_nearest(to_mlx(X), [8, 3], None, exact), functional.interpolate(X, (8, 3), mode=mode))
    sizes = [resize.scaled_size(5, 1.7), resize.scaled_size(7, 0.4)]
    assert sizes == [8, 2]
    ours = resize.resize_nearest(to_mlx(X), sizes, [1.7, 0.4], exact)
    close(ours, functional.interpolate(X, scale_factor=(1.7, 0.4), mode=mode))


@pytest.mark.parametrize("kind, mode", [("linear", "bilinear"), ("cubic", "bicubic")])
@pytest.mark.parametrize("align_corners, antialias", [(False, False), (True, False), (False, True)])
def test_smooth(kind, mode, align_corners, antialias):
    expected = functional.interpolate(X, (3, 9), mode=mode, align_corners=align_corners, antialias=antialias)
    close(resize.resize_smooth(to_mlx(X), [3, 9], None, kind, align_corners, antialias), expected)


KEEPING = [(mode, count) for mode in ("nearest", "nearest-exact", "linear") for count in (1, 2, 3)]
KEEPING += [(mode, 2) for mode in ("cubic", "linear antialias", "cubic antialias")]


@pytest.mark.parametrize("mode, count", KEEPING)
def test_axes_that_keep_their_length(mode, count):
    """Where factors such as 1.1 change no length, torch uses them or not, by mode: the right values are torch's."""
    shape, factors = (3, 5, 7)[-count:], [1.6, 1.1, 1.1][-count:]
    kind, _, antialias = mode.partition(" ")
    name = {"linear": ("linear", "bilinear", "trilinear")[count - 1], "cubic": "bicubic"}.get(kind, kind)
    x = torch.randn(2, 3, *shape)
    expected = functional.interpolate(x, scale_factor=factors, mode=name, antialias=bool(antialias))
    sizes = list(expected.shape[2:])
    assert sizes[-1] == 7
    if kind in ("linear", "cubic"):
        ours = resize.resize_smooth(to_mlx(x), sizes, factors, kind, False, bool(antialias))
    else:
        ours = resize.resize_nearest(to_mlx(x), sizes, factors, kind == "nearest-exact")
    close(ours, expected)


@pytest.mark.parametrize("mode", ["nearest", "bilinear", "bicubic"])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("align_corners", [False, True])
def test_grid_sample(mode, padding, align_corners):
    grid = torch.rand(2, 4, 6, 2) * 3 - 1.5
    expected = functional.grid_sample(X, grid, mode, padding, align_corners)
    close(resize.grid_sample(to_mlx(X), to_mlx(grid), mode, padding, align_corners), expected)


@pytest.mark.parametrize("align_corners", [False, True])
def test_affine_grid(align_corners):
    theta = torch.randn(2, 2, 3)
    expected = functional.affine_grid(theta, [2, 3, 4, 5], align_corners)
    close(resize.affine_grid(to_mlx(theta), [2, 3, 4, 5], align_corners), expected)
