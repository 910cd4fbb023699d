"""What decoding asks of the kernels: the likeliest tokens, attention by rows, few-row products."""

import os
import subprocess
import sys

import mlx.core as mx
import numpy as np
import pytest
import torch
from backend.kernels import CPU, no_worse_than_torch, random, to_numpy

from pytorch_to_mlx.backend import ops, plain

needs_kernels = pytest.mark.skipif(CPU is None or not hasattr(CPU, "linear_topk"), reason="kernels 0.4.0 are not here")


def stable_order(logits: np.ndarray, count: int) -> np.ndarray:
    return np.argsort(-logits, axis=-1, kind="stable")[:, :count]


@pytest.mark.parametrize("bits", [0, 8, 4])
@pytest.mark.parametrize(("rows", "size", "vocab", "count"), [(1, 64, 3000, 1), (5, 128, 7001, 12), (17, 64, 2500, 40)])
def test_likeliest_tokens(rows, size, vocab, count, bits):
    """Weights and inputs are small whole numbers, so that logits are exact and many are equal: the first come first."""
    rng = np.random.default_rng(rows)
    x, w = (rng.integers(-3, 4, shape).astype(np.float32) for shape in ((rows, size), (vocab, size)))
    bias = rng.integers(-2, 3, vocab).astype(np.float32)
    if bits:
        packed = mx.quantize(mx.array(w), group_size=64, bits=bits)
        options = dict(count=count, group_size=64, bits=bits)
        best, ids, log_sums = ops.quantized_topk(mx.array(x), *packed, mx.array(bias), **options)
        w = to_numpy(mx.dequantize(*packed, 64, bits))
    else:
        best, ids, log_sums = ops.linear_topk(mx.array(x), mx.array(w), mx.array(bias), count=count)
    logits = x.astype(np.float64) @ w.T.astype(np.float64) + bias
    if not bits:
        np.testing.assert_array_equal(np.array(ids), stable_order(logits, count))
    np.testing.assert_allclose(np.array(best), -np.sort(-logits, axis=-1)[:, :count], atol=1e-4, rtol=1e-6)
    np.testing.assert_allclose(np.take_along_axis(logits, np.array(ids), 1), np.array(best), atol=1e-4, rtol=1e-6)
    sums = np.log(np.exp(logits - logits.max(axis=-1, keepdims=True)).sum(axis=-1))
    np.testing.assert_allclose(np.array(log_sums), sums, atol=2e-5)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_logits_that_are_not_finite_show_in_the_sum(value):
    x, w = random(2, 32), random(3000, 32)
    x[1, 3] = value
    best, _, log_sums = ops.linear_topk(mx.array(x), mx.array(w), count=5)
    assert np.isfinite(np.array(log_sums)[0]) and np.isfinite(np.array(best)[0]).all()
    assert not np.isfinite(np.array(log_sums)[1]) or not np.isfinite(np.array(best)[1, 0])


def test_words_that_are_ruled_out_stay_behind():
    bias = np.full(50, -np.inf, np.float32)
    bias[[7, 30]] = [0.0, 1.0]
    best, ids, log_sums = ops.linear_topk(mx.zeros((1, 16)), mx.zeros((50, 16)), mx.array(bias), count=4)
    assert np.array(ids)[0, :2].tolist() == [30, 7] and np.array(best)[0].tolist() == [1.0, 0.0, -np.inf, -np.inf]
    assert len(set(np.array(ids)[0].tolist())) == 4
    assert np.array(log_sums)[0] == pytest.approx(np.log1p(np.exp(-1)))


@needs_kernels
def test_arguments_of_the_likeliest_tokens_are_checked():
    with pytest.raises(ValueError, match="count must be"):
        ops.linear_topk(mx.zeros((1, 4)), mx.zeros((5, 4)), count=6)
    with pytest.raises(ValueError, match=r"x must be \[rows, D\]"):
        ops.linear_topk(mx.zeros((1, 3)), mx.zeros((5, 4)), count=1)


@pytest.mark.parametrize(("heads", "size", "keys"), [(8, 64, 1), (8, 64, 33), (2, 24, 50), (1, 5, 7)])
@pytest.mark.parametrize("masked", [False, True])
def test_attention_by_rows(heads, size, keys, masked):
    rng, width = np.random.default_rng(keys), heads * size
    q, every = random(6, width), random(keys + 3, 9, 2 * width)
    rows = rng.integers(0, 9, (6, keys)).astype(np.int32)
    mask = random(heads, keys) if masked else None
    if masked and keys > 1:
        mask[:, 0] = -np.inf

    def reference(q, every, *mask):
        own = every[torch.arange(keys)[None], torch.from_numpy(rows).long()].reshape(6, keys, 2, heads, size)
        k, v = own.permute(2, 0, 3, 1, 4)
        scores = (q.reshape(6, heads, 1, size) @ k.mT)[:, :, 0] * 0.3
        weights = (scores + mask[0] if mask else scores).softmax(-1)
        return (weights[:, :, None] @ v).reshape(6, width)

    arrays = [mx.array(q), mx.array(every), mx.array(rows), *([] if mask is None else [mx.array(mask)])]
    y = ops.attention_by_rows(*arrays, heads=heads, scale=0.3)
    no_worse_than_torch(y, reference, q, every, *([] if mask is None else [mask]), factor=3)
    own = plain.attention_by_rows(*arrays, heads=heads, scale=0.3)
    np.testing.assert_allclose(to_numpy(y), to_numpy(own), atol=2e-5)


@pytest.mark.parametrize("rows", [1, 2, 3, 4, 5, 8, 13, 16, 17, 40])
@pytest.mark.parametrize(("columns", "depth"), [(70, 64), (129, 300), (33, 2048)])
def test_few_rows(rows, columns, depth):
    x, w, b = random(rows, depth), random(columns, depth), random(columns)
    y = ops.linear(mx.array(x), mx.array(w), mx.array(b))
    no_worse_than_torch(y, torch.nn.functional.linear, x, w, b, factor=2 if CPU else 20)


@pytest.mark.parametrize("rows", [4, 13, 20])
@pytest.mark.parametrize("dtype", [mx.float32, mx.float16, mx.bfloat16])
def test_numbers_of_every_size(rows, dtype):
    """Rows of x and of the weight from 1e-12 to 1e12: every result is as exact, against its own terms."""
    x, w = random(rows, 96), random(40, 96)
    x *= 10.0 ** np.linspace(-12, 12, rows)[:, None].astype(np.float32)
    if dtype == mx.float32:
        w *= 10.0 ** np.linspace(-12, 12, 40)[:, None].astype(np.float32)
    stored = mx.array(w).astype(dtype)
    w = to_numpy(stored)
    y = to_numpy(ops.linear(mx.array(x), stored))
    terms = np.abs(x.astype(np.float64)) @ np.abs(w.T.astype(np.float64))
    assert (np.abs(y - x.astype(np.float64) @ w.T.astype(np.float64)) <= 4e-7 * terms).all()


PROGRAM = """
import sys, mlx.core as mx, numpy as np
from pytorch_to_mlx.backend import native, ops
data = np.load(sys.argv[1])
x, w, every, rows = (mx.array(data[name]) for name in ("x", "w", "every", "rows"))
out = {"linear": ops.linear(x, w), "isa": np.array(native.load()[0].isa)}
for bits in (8, 4):
    packed = mx.quantize(w, group_size=64, bits=bits)
    out[f"q{bits}"] = ops.quantized_matmul(x, *packed, True, 64, bits)
    best = ops.quantized_topk(x, *packed, count=9, group_size=64, bits=bits)
    out |= zip((f"best{bits}", f"ids{bits}", f"sums{bits}"), best)
out["best"], out["ids"], out["sums"] = ops.linear_topk(x, w, count=9)
out["attention"] = ops.attention_by_rows(x, every, rows, heads=2, scale=0.2)
np.savez(sys.argv[2], **{name: np.array(value) for name, value in out.items()})
"""


@needs_kernels
def test_every_instruction_set_agrees(tmp_path):
    """Base, AVX2, AVX-512 and AMX, as far as this processor has them, on the same 18 rows."""
    rng = np.random.default_rng(0)
    x, w, every = (random(*shape) * 0.3 for shape in ((18, 128), (3000, 128), (20, 18, 256)))
    np.savez(tmp_path / "in.npz", x=x, w=w, every=every, rows=rng.integers(0, 18, (18, 20)).astype(np.int32))
    found = {}
    for isa in ("base", "avx2", "avx512", "amx"):
        file = tmp_path / f"{isa}.npz"
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, str(tmp_path / "in.npz"), str(file)],
            env={**os.environ, "PYTORCH_TO_MLX_ISA": isa}, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        found[isa] = np.load(file)
    for isa, results in found.items():
        for name in results.files:
            if name.startswith("ids"):
                np.testing.assert_array_equal(results[name], found["base"][name], err_msg=f"{isa} {name}")
            elif name != "isa":
                np.testing.assert_allclose(results[name], found["base"][name], atol=2e-5, err_msg=f"{isa} {name}")
