"""nn/conv.py against torch."""

import mlx.core as mx
import numpy as np
import pytest
import torch
from parity import assert_close

from pytorch_to_mlx.nn.conv import Conv1d, ConvTranspose1d


def put(module, theirs, order):
    """Give our module torch's weights, through the axis order written out here."""
    module.weight = mx.array(theirs.weight.detach().numpy().transpose(order))
    if theirs.bias is not None:
        module.bias = mx.array(theirs.bias.detach().numpy())


def both(ours, theirs, length, channels):
    x = np.random.default_rng(0).standard_normal((2, length, channels)).astype(np.float32)
    with torch.no_grad():
        y = theirs(torch.from_numpy(x).transpose(1, 2)).transpose(1, 2)
        wide = theirs.double()(torch.from_numpy(x).double().transpose(1, 2)).transpose(1, 2)
    assert_close(ours(mx.array(x)), y, wide)


@pytest.mark.parametrize("kernel,stride,padding,dilation,groups", [(3, 1, 1, 1, 1), (7, 1, 9, 3, 1), (12, 6, 3, 1, 1)])
@pytest.mark.parametrize("bias", [True, False])
def test_conv1d(kernel, stride, padding, dilation, groups, bias):
    sizes = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups, "bias": bias}
    ours, theirs = Conv1d(8, 12, kernel, **sizes), torch.nn.Conv1d(8, 12, kernel, **sizes)
    put(ours, theirs, (0, 2, 1))
    both(ours, theirs, 41, 8)


@pytest.mark.parametrize("kernel,stride,padding,output_padding", [(20, 10, 5, 0), (12, 6, 3, 0), (3, 2, 1, 1)])
@pytest.mark.parametrize("bias", [True, False])
def test_conv_transpose1d(kernel, stride, padding, output_padding, bias):
    sizes = {"stride": stride, "padding": padding, "output_padding": output_padding, "bias": bias}
    ours, theirs = ConvTranspose1d(8, 6, kernel, **sizes), torch.nn.ConvTranspose1d(8, 6, kernel, **sizes)
    put(ours, theirs, (1, 2, 0))
    both(ours, theirs, 17, 8)


def test_conv_transpose1d_depthwise():
    sizes = {"stride": 2, "padding": 1, "output_padding": 1, "groups": 8}
    ours, theirs = ConvTranspose1d(8, 8, 3, **sizes), torch.nn.ConvTranspose1d(8, 8, 3, **sizes)
    put(ours, theirs, (0, 2, 1))
    both(ours, theirs, 17, 8)
