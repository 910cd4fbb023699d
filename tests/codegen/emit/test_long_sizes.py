"""Long sizes are computed once, step by step: the source of a network that pads to a valid length can be read."""

import math

import mlx.core as mx
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from pytorch_to_mlx import convert
from pytorch_to_mlx.codegen.convert_module import load_generated


class Padded(nn.Module):
    """Pads to a length that three strided layers divide, as enhancers of speech do."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(nn.Conv1d(1, 1, 8, 4) for _ in range(3))

    def forward(self, x):
        length = x.shape[-1]
        for _ in range(3):
            length = max(1, math.ceil((length - 8) / 4) + 1)
        for _ in range(3):
            length = (length - 1) * 4 + 8
        y = F.pad(x, (0, int(length) - x.shape[-1]))
        for layer in self.layers:
            y = layer(y)
        return y[..., : x.shape[-1]], length


def test_steps_of_a_long_size_have_names(tmp_path):
    """The right values are PyTorch's at other lengths."""
    module = Padded()
    convert(module, tmp_path / "out", example_inputs=torch.randn(2, 1, 300)).check()
    source = (tmp_path / "out" / "model.py").read_text()
    assert [line.strip() for line in source.splitlines() if line.strip().startswith("size")] == [
        "size = max(1, math.ceil((width - 8) / 4) + 1)",
        "size = max(1, math.ceil((size - 8) / 4) + 1)",
        "size = max(1, math.ceil((size - 8) / 4) + 1)",
    ]
    model = load_generated(tmp_path / "out")
    for n in (7, 85, 84, 1001):
        x = torch.randn(3, 1, n)
        ours, length = model(mx.array(x.numpy()))
        expected, expected_length = module(x)
        np.testing.assert_allclose(np.array(ours), expected.detach().numpy(), rtol=1e-5, atol=1e-5)
        assert length == expected_length
