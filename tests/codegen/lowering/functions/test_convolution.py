"""Convolution forms that MLX lacks, against torch."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from pytorch_to_mlx.codegen.capture.tensors import to_mlx, to_numpy
from pytorch_to_mlx.codegen.lowering.functions import convolution


def last(tensor):
    return to_mlx(tensor.movedim(1, -1).contiguous())


@pytest.mark.parametrize("padding, output_padding, dilation, groups", [(0, 2, 1, 1), (1, 0, 2, 2), (3, 1, 1, 2)])
def test_transposed_convolution(padding, output_padding, dilation, groups):
    torch.manual_seed(0)
    x, weight = torch.randn(2, 4, 6, 5), torch.randn(4, 6 // groups, 3, 2)
    expected = functional.conv_transpose2d(x, weight, None, 3, padding, output_padding, groups, dilation)
    kernel = convolution.split_transposed_groups(to_mlx(weight), groups)
    assert kernel.shape == (6, 3, 2, 4 // groups)
    settings = [(3, 3), (padding,) * 2, (output_padding,) * 2, (dilation,) * 2]
    ours = convolution.conv_transpose(last(x), kernel, *settings, groups)
    np.testing.assert_allclose(to_numpy(ours), expected.movedim(1, -1).numpy(), atol=1e-5)


def test_grouped_convolution_in_three_dimensions():
    torch.manual_seed(0)
    x, weight = torch.randn(1, 4, 5, 4, 3), torch.randn(6, 2, 2, 3, 1)
    expected = functional.conv3d(x, weight, padding=1, groups=2)
    ours = convolution.grouped_conv3d(last(x), last(weight), 2, padding=1)
    np.testing.assert_allclose(to_numpy(ours), expected.movedim(1, -1).numpy(), atol=1e-5)


def test_patches_as_columns_and_back():
    x = torch.arange(2 * 3 * 6 * 7.0).reshape(2, 3, 6, 7)
    settings = [(3, 2), (2, 1), (1, 0), (2, 2)]
    columns = functional.unfold(x, *settings)
    assert to_numpy(convolution.im2col(to_mlx(x), *settings)).tolist() == columns.tolist()
    assert to_numpy(convolution.im2col(to_mlx(x[0]), *settings)).tolist() == columns[0].tolist()
    image = functional.fold(columns, (6, 7), *settings)
    assert to_numpy(convolution.col2im(to_mlx(columns), [6, 7], *settings)).tolist() == image.tolist()
