"""nn/attention.py against torch.nn.functional.scaled_dot_product_attention and torch.nn.MultiheadAttention."""

import mlx.core as mx
import numpy as np
import pytest
import torch
from parity import assert_close

from pytorch_to_mlx.nn.attention import CachedAttention, SelfAttention


@pytest.mark.parametrize("masked", [False, True])
def test_self_attention(masked):
    torch.manual_seed(0)
    theirs = torch.nn.MultiheadAttention(24, 3, batch_first=True)
    theirs.in_proj_bias.data.normal_()
    ours = SelfAttention(24, 3)
    weights = np.split(theirs.in_proj_weight.detach().numpy(), 3)
    biases = np.split(theirs.in_proj_bias.detach().numpy(), 3)
    for module, weight, bias in zip((ours.q_proj, ours.k_proj, ours.v_proj), weights, biases, strict=True):
        module.weight, module.bias = mx.array(weight), mx.array(bias)
    ours.o_proj.weight = mx.array(theirs.out_proj.weight.detach().numpy())
    ours.o_proj.bias = mx.array(theirs.out_proj.bias.detach().numpy())

    x = np.random.default_rng(0).standard_normal((2, 11, 24)).astype(np.float32)
    attends = np.tril(np.ones((11, 11), bool)) if masked else None
    blocked = None if attends is None else torch.from_numpy(~attends)

    def torch_side(dtype):
        t = torch.from_numpy(x).to(dtype)
        return theirs.to(dtype)(t, t, t, attn_mask=blocked, need_weights=False)[0]

    with torch.no_grad():
        narrow, wide = torch_side(torch.float32), torch_side(torch.float64)
    assert_close(ours(mx.array(x), None if attends is None else mx.array(attends)), narrow, wide)


def test_heads_must_divide():
    with pytest.raises(ValueError, match="does not divide into 5 heads"):
        SelfAttention(24, 5)


@pytest.mark.parametrize("grouped", [False, True])
def test_cached_attention(grouped):
    """Against torch in float64: heads of another width, a mask, and beams that share the keys of their sentence."""
    rng = np.random.default_rng(0)
    layer = CachedAttention(24, 3, head_dim=10, bias=False, scale=0.7)
    rows = 3 if grouped else 1
    x, memory = (
        rng.standard_normal((2 * rows, 4, 24)).astype(np.float32),
        rng.standard_normal((2, 5, 24)).astype(np.float32),
    )
    allowed = np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]], bool)[:, None, None]
    ours = layer(mx.array(x), *layer.keys_values(mx.array(memory)), mx.array(allowed))

    def torch_side(dtype):
        def project(module, y):
            y = y @ torch.from_numpy(np.array(module.weight)).to(dtype).T
            return y.reshape(*y.shape[:2], 3, 10).transpose(1, 2)

        t, m = torch.from_numpy(x).to(dtype), torch.from_numpy(memory).to(dtype).repeat_interleave(rows, dim=0)
        mask = torch.from_numpy(allowed).repeat_interleave(rows, dim=0)
        q, k, v = project(layer.q_proj, t), project(layer.k_proj, m), project(layer.v_proj, m)
        y = torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=0.7)
        return (
            y.transpose(1, 2).reshape(2 * rows, 4, 30) @ torch.from_numpy(np.array(layer.out_proj.weight)).to(dtype).T
        )

    assert_close(ours, torch_side(torch.float32), torch_side(torch.float64))
