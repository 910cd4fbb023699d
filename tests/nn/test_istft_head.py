"""nn/istft_head.py against exp, sin and torch.istft."""

import mlx.core as mx
import numpy as np
import pytest
import torch
from parity import assert_close

from pytorch_to_mlx.backend import ops
from pytorch_to_mlx.nn.istft_head import IstftHead, unwrapped


@pytest.mark.parametrize("phase", [ops.sin, unwrapped])
def test_istft_head(phase):
    x = np.random.default_rng(0).standard_normal((2, 31, 22)).astype(np.float32)

    def torch_side(dtype):
        t = torch.from_numpy(x).to(dtype).transpose(1, 2)
        angle = t[:, 11:] if phase is unwrapped else torch.sin(t[:, 11:])
        spec = torch.exp(t[:, :11]) * torch.exp(angle * 1j)
        return torch.istft(spec, 20, 5, 20, torch.hann_window(20, dtype=dtype))

    ours = IstftHead(20, 5, phase=phase)(mx.array(x))
    assert ours.shape == (2, 150)
    assert_close(ours, torch_side(torch.float32), torch_side(torch.float64))
