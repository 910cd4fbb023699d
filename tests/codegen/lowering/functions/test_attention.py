"""Attention forms that mx.fast lacks, against torch."""

import mlx.core as mx
import numpy as np
import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from pytorch_to_mlx.codegen.capture.tensors import to_mlx, to_numpy
from pytorch_to_mlx.codegen.lowering.functions.attention import attention, masked_attention


def qkv(q_heads=4, kv_heads=4):
    torch.manual_seed(0)
    return torch.randn(2, q_heads, 3, 8), torch.randn(2, kv_heads, 5, 8), torch.randn(2, kv_heads, 5, 8)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("kv_heads", [4, 2])
def test_agrees_with_torch(causal, kv_heads):
    parts = qkv(kv_heads=kv_heads)
    expected = scaled_dot_product_attention(*parts, is_causal=causal, enable_gqa=kv_heads == 2)
    ours = attention(*map(to_mlx, parts), None, causal, 8**-0.5, kv_heads == 2)
    np.testing.assert_allclose(to_numpy(ours), expected.numpy(), atol=1e-6)


def test_a_row_that_attends_to_nothing_is_zero():
    parts = qkv()
    mask = torch.ones(3, 5, dtype=torch.bool)
    mask[1] = False
    expected = scaled_dot_product_attention(*parts, attn_mask=mask).numpy()
    assert not expected[:, :, 1].any()
    for ours in (
        attention(*map(to_mlx, parts), to_mlx(mask), False, 8**-0.5, False),
        masked_attention(*map(to_mlx, parts), to_mlx(mask), 8**-0.5),
    ):
        np.testing.assert_allclose(to_numpy(ours), expected, atol=1e-6)
    assert mx.any(mx.fast.scaled_dot_product_attention(*map(to_mlx, parts), scale=1.0, mask=to_mlx(mask))[:, :, 1])
