"""nn/norm.py against torch."""

import mlx.core as mx
import numpy as np
import pytest
import torch
from kokoro.istftnet import AdaIN1d
from kokoro.modules import AdaLayerNorm as TorchAdaLayerNorm
from parity import assert_close

from pytorch_to_mlx.nn.norm import AdaIN, AdaLayerNorm, LayerNorm


def inputs():
    rng = np.random.default_rng(0)
    x = (rng.standard_normal((2, 33, 16)) * 3 + 1).astype(np.float32)
    return x, rng.standard_normal((2, 8)).astype(np.float32)


@pytest.mark.parametrize("kind", ["instance", "layer"])
def test_adaptive_norms(kind):
    x, style = inputs()
    ours = AdaIN(8, 16) if kind == "instance" else AdaLayerNorm(8, 16)
    theirs = AdaIN1d(8, 16) if kind == "instance" else TorchAdaLayerNorm(8, 16)
    ours.fc.weight = mx.array(theirs.fc.weight.detach().numpy())
    ours.fc.bias = mx.array(theirs.fc.bias.detach().numpy())

    def torch_side(dtype):
        wide, given = torch.from_numpy(x).to(dtype), torch.from_numpy(style).to(dtype)
        if kind == "instance":
            return theirs.to(dtype)(wide.transpose(1, 2), given).transpose(1, 2)
        return theirs.to(dtype)(wide, given)  # features last already

    with torch.no_grad():
        narrow, wide = torch_side(torch.float32), torch_side(torch.float64)
    assert_close(ours(mx.array(x), mx.array(style)), narrow, wide)


def test_layer_norm():
    x, _ = inputs()
    ours, theirs = LayerNorm(16, 1e-12), torch.nn.LayerNorm(16, 1e-12)
    theirs.weight.data.normal_()
    ours.weight = mx.array(theirs.weight.detach().numpy())
    with torch.no_grad():
        assert_close(ours(mx.array(x)), theirs(torch.from_numpy(x)), theirs.double()(torch.from_numpy(x).double()))
