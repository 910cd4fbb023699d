"""Attention against float64: every mask, grouped heads, decoding, strides, blocks that end anywhere."""

import itertools

import mlx.core as mx
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from backend.kernels import CPU, no_worse_than_torch, random, to_numpy

from pytorch_to_mlx.backend import ops


@pytest.fixture(params=["native", "mlx"] if CPU else ["mlx"], autouse=True)
def path(request, monkeypatch):
    monkeypatch.setattr(ops, "kernels", (lambda: CPU) if request.param == "native" else (lambda: None))
    return request.param


def reference(scale, heads, kv_heads):
    def run(q, k, v, mask):
        k, v = (x.repeat_interleave(heads // kv_heads, 1) for x in (k, v))
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=scale)

    return run


SHAPES = [  # B, H, Hkv, L, S, D, Dv
    (1, 1, 1, 1, 1, 1, 1),
    (2, 4, 4, 19, 19, 8, 8),
    (1, 3, 3, 85, 85, 64, 64),
    (2, 4, 2, 37, 300, 16, 24),
    (1, 2, 1, 170, 513, 80, 80),
    (1, 14, 2, 1, 700, 64, 64),
    (2, 2, 2, 3, 257, 7, 9),
    (1, 8, 2, 4, 256, 128, 128),
    (1, 2, 2, 17, 5, 33, 33),
]


def masks(B, H, L, S):
    yes = np.random.random((L, S)) > 0.3
    yes[:, 0] = True
    found = {
        "none": None,
        "bool": yes,
        "bool one row": np.concatenate([[True], np.random.random(S - 1) > 0.5])[None],
        "additive": random(B, 1, L, S),
        "additive by head": random(H, 1, S),
        "additive by row": random(L, 1),
        "closed": np.where(yes, 0, -np.inf).astype(np.float32),
    }
    if L <= S:
        found["causal"] = np.tril(np.ones((L, S), bool), S - L)
    return found.items()


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_error(shape, path):
    B, H, K, L, S, D, Dv = shape
    q, k, v = random(B, H, L, D), random(B, K, S, D), random(B, K, S, Dv)
    scale = 1.3 / np.sqrt(D)
    for name, mask in masks(B, H, L, S):
        ours = "causal" if name == "causal" else None if mask is None else mx.array(mask)
        got = ops.attention(mx.array(q), mx.array(k), mx.array(v), scale=scale, mask=ours)
        theirs, more = reference(scale, H, K), None if mask is None else torch.from_numpy(mask)
        # The largest error is that of the one row with the largest score, and chance: it may be a millionth; half as
        # much again by the instruction set without fused multiply-add, which PyTorch beside it uses.
        rounding = 1.5e-6 if CPU is not None and CPU.isa == "SSE4.2" else 1e-6
        no_worse_than_torch(got, theirs, q, k, v, more, factor=2 if path == "native" else 10, rounding=rounding)


@pytest.mark.parametrize("L", [1, 3, 90])
def test_strides(L):
    B, H, S, D = 2, 4, 130, 16
    q, k, v, mask = random(B, H, L, D), random(B, H, S, D), random(B, H, S, D), random(B, 1, L, S)
    arrays = [mx.array(a) for a in (q, k, v)]
    want = to_numpy(ops.attention(*arrays, scale=0.25, mask=mx.array(mask)))

    def layouts(x):
        a = mx.array
        yield a(np.ascontiguousarray(x.transpose(0, 2, 1, 3))).transpose(0, 2, 1, 3)  # heads split off the features
        yield a(np.ascontiguousarray(x.swapaxes(2, 3))).swapaxes(2, 3)
        yield a(np.concatenate([x, x], axis=2))[:, :, x.shape[2] :]  # the end of a cache
        yield a(np.repeat(x, 2, axis=3))[..., ::2]

    for places in itertools.product(range(3), range(4)):
        changed = list(arrays)
        changed[places[0]] = list(layouts((q, k, v)[places[0]]))[places[1]]
        got = to_numpy(ops.attention(*changed, scale=0.25, mask=mx.array(mask)))
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)
    turned = mx.array(np.ascontiguousarray(mask.swapaxes(2, 3))).swapaxes(2, 3)
    np.testing.assert_allclose(to_numpy(ops.attention(*arrays, scale=0.25, mask=turned)), want, rtol=1e-5, atol=1e-6)
    # the result joins with what follows, whatever its own layout
    got = ops.attention(*arrays, scale=0.25, mask=mx.array(mask)).transpose(0, 2, 1, 3).reshape(B, L, H * D)
    np.testing.assert_allclose(to_numpy(got), want.transpose(0, 2, 1, 3).reshape(B, L, H * D), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("L", [2, 40])
def test_special_values_are_as_in_mlx(L):
    q, k, v = random(1, 1, L, 8), random(1, 1, 300, 8), random(1, 1, 300, 8)
    closed = np.zeros((L, 300), np.float32)
    closed[0] = -np.inf  # a row that attends to nothing: NaN
    closed[1, :256] = -np.inf  # a row whose first block is empty
    shut = closed == 0  # booleans: MLX gives such a row the mean of all values
    nan = np.zeros((L, 300), np.float32)
    nan[0, 5] = np.nan
    huge = np.zeros((L, 300), np.float32)
    huge[1, 7] = np.inf
    for mask in (closed, shut, nan, huge):
        arrays = [mx.array(a) for a in (q, k, v)]
        with np.errstate(invalid="ignore"):
            want = mx.fast.scaled_dot_product_attention(*arrays, scale=0.4, mask=mx.array(mask))
        got = ops.attention(*arrays, scale=0.4, mask=mx.array(mask))
        np.testing.assert_allclose(to_numpy(got), to_numpy(want), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype, bits", [(mx.float16, 11), (mx.bfloat16, 8)])
@pytest.mark.parametrize("L", [1, 50])
def test_half_precision(dtype, bits, L):
    q, k, v = (mx.array(a).astype(dtype) for a in (random(1, 4, L, 32), random(1, 2, 300, 32), random(1, 2, 300, 32)))
    q64, k64, v64 = (torch.from_numpy(to_numpy(a)).double() for a in (q, k, v))
    truth = reference(0.2, 4, 2)(q64, k64, v64, None).numpy()
    got = ops.attention(q, k, v, scale=0.2)
    assert got.dtype == dtype
    assert np.abs(to_numpy(got) - truth).max() <= 4 * 2.0**-bits * np.abs(truth).max()


def test_wrong_shapes_are_refused():
    x = mx.zeros((1, 4, 5, 8))
    for q, k, v in ((x, mx.zeros((1, 3, 5, 8)), mx.zeros((1, 3, 5, 8))), (x, x[..., :7], x), (x, x, x[:, :, :3])):
        with pytest.raises(ValueError):
            mx.eval(ops.attention(q, k, v, scale=1.0))
