"""Normalisation, against torch."""

import numpy as np
import torch
from torch.nn import functional

from pytorch_to_mlx.codegen.capture.tensors import to_mlx, to_numpy
from pytorch_to_mlx.codegen.lowering.functions import norm

torch.manual_seed(0)
X, WEIGHT, BIAS = torch.randn(2, 6, 3, 4) * 3 + 1, torch.randn(6), torch.randn(6)


def close(ours, expected):
    assert tuple(ours.shape) == tuple(expected.shape)
    np.testing.assert_allclose(to_numpy(ours), expected.numpy(), atol=2e-6)


def test_layer_norm():
    weight, bias = torch.randn(3, 4), torch.randn(3, 4)
    y, mean, scale = norm.native_layer_norm(to_mlx(X), 2, to_mlx(weight), to_mlx(bias), 1e-5)
    for ours, expected in zip((y, mean, scale), torch.native_layer_norm(X, [3, 4], weight, bias, 1e-5), strict=True):
        close(ours, expected)
    close(norm.layer_norm(to_mlx(X), 2, None, None, 1e-5), functional.layer_norm(X, [3, 4]))


def test_group_norm():
    ours = norm.group_norm(to_mlx(X), 3, to_mlx(WEIGHT), to_mlx(BIAS), 1e-5)
    for part, expected in zip(ours, torch.native_group_norm(X, WEIGHT, BIAS, 2, 6, 12, 3, 1e-5), strict=True):
        close(part, expected)


def test_instance_norm():
    close(norm.instance_norm(to_mlx(X), None, to_mlx(BIAS), 1e-5), functional.instance_norm(X, bias=BIAS))
