"""PyTorch's generator against ours."""

import numpy as np
import pytest
import torch

from pytorch_to_mlx.audio.torch_random import TorchRandom


@pytest.mark.parametrize("seed", [0, 1986, 2**40 + 7])
def test_same_numbers_in_the_same_order(seed):
    torch.manual_seed(seed)
    ours = TorchRandom(seed)
    for shape in ((1, 80, 150), (37,), (16,), (17,), (3, 5, 7)):
        np.testing.assert_allclose(ours.randn(*shape), torch.randn(shape).numpy(), rtol=0, atol=5e-7)
        assert np.array_equal(ours.rand(*shape), torch.rand(shape).numpy())
    torch.rand(5_000_000)
    ours.skip(5_000_000)
    assert np.array_equal(ours.rand(1000), torch.rand(1000).numpy())


def test_few_normal_numbers_are_refused():
    with pytest.raises(ValueError, match="15 normal numbers"):
        TorchRandom(0).randn(15)
