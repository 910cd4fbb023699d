"""Rotary tables beside Hugging Face's, and beside the angles in float64."""

import mlx.core as mx
import numpy as np
import pytest
import torch
from transformers import Qwen2Config
from transformers.models.qwen2.modeling_qwen2 import Qwen2RotaryEmbedding

from pytorch_to_mlx.backend import ops
from pytorch_to_mlx.backend.native import kernels
from pytorch_to_mlx.backend.rope import rotary_frequencies
from pytorch_to_mlx.nn.rope import rotary_tables


def ulps(values, exact):
    """The largest error in units of the last place."""
    return (np.abs(values - exact) / np.spacing(np.abs(exact).astype(np.float32))).max()


@pytest.mark.parametrize(("head_dim", "theta"), [(64, 1e6), (64, 1e4), (16, 1e4), (2, 1e4)])
def test_frequencies(head_dim, theta):
    exact = theta ** -(np.arange(0, head_dim, 2) / head_dim)
    frequencies = rotary_frequencies(head_dim, theta)
    assert frequencies.dtype == np.float32 and ulps(frequencies, exact) <= 2


def test_frequencies_are_torch_s_to_the_bit():
    """All but one of 512 features, whose power PyTorch itself rounds the other way."""
    for dims, n_different in ((64, 0), (512, 1)):
        torchs = 1.0 / (10000.0 ** (torch.arange(0, dims, 2).float() / dims))
        assert (rotary_frequencies(dims, 1e4) != torchs.numpy()).sum() <= n_different


@pytest.mark.parametrize(("head_dim", "theta"), [(64, 1e6), (64, 1e4)])
def test_tables_are_rounded_once(head_dim, theta):
    positions = np.arange(751)  # 30 s of speech tokens
    angles = positions.astype(np.float32)[:, None] * rotary_frequencies(head_dim, theta)
    tables = rotary_tables(mx.array(positions), head_dim, theta)
    for table, function in zip(tables, (np.cos, np.sin), strict=True):
        assert table.shape == (751, head_dim // 2)
        most = 1 if hasattr(kernels(), "cos") else 2  # MLX's own functions err by up to 1.42
        assert ulps(np.array(table), function(angles.astype(np.float64))) <= most


def test_rotation_is_hugging_face_s():
    config = Qwen2Config(hidden_size=128, num_attention_heads=2, rope_theta=1e6)
    x, positions = torch.randn(1, 2, 40, 64, generator=torch.Generator().manual_seed(0)), torch.arange(7, 47)
    cos, sin = Qwen2RotaryEmbedding(config)(x, positions[None])
    left, right = x.chunk(2, dim=-1)
    theirs = x * cos + torch.cat([-right, left], dim=-1) * sin
    ours = ops.rotate(mx.array(x.numpy()), *rotary_tables(mx.array(positions.numpy()), 64, 1e6))
    np.testing.assert_allclose(np.array(ours), theirs.numpy(), rtol=0, atol=1e-6)
