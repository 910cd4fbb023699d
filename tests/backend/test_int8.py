"""Products of x rounded to 8 bits with weights of 8 bits: against float64, on every instruction set, and where used."""

import os
import subprocess
import sys

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from backend.kernels import CPU, random, to_numpy, views

from pytorch_to_mlx.backend import ops, plain
from pytorch_to_mlx.nn.linear import linear, output_logits
from pytorch_to_mlx.nn.output import OutputLayer
from pytorch_to_mlx.weights.quantize import round_activations

VARIANTS = ("base", "avx2", "avx2-vnni", "avx512", "avx512-vnni", "amx")


def rounded(x: np.ndarray, group: int) -> np.ndarray:
    """x in whole 127ths of the greatest size of its group, in the float32 steps that the kernels take; then float64."""
    groups = x.astype(np.float32).reshape(*x.shape[:-1], -1, group)
    top = np.abs(groups).max(axis=-1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        q = np.rint(np.where(top > 1e-30, groups * (np.float32(127) / top), 0))
    return (q.astype(np.float64) * np.where(top > 1e-30, top / np.float32(127), 0)).reshape(x.shape)


def product(x: np.ndarray, packed: tuple[mx.array, ...], group: int, bias: np.ndarray | float = 0) -> np.ndarray:
    weights, scales, biases = packed
    q = np.array(weights).view(np.uint8).reshape(*scales.shape, group).astype(np.float64)
    w = q * to_numpy(scales)[..., None].astype(np.float64) + to_numpy(biases)[..., None]
    return rounded(x, group) @ w.reshape(len(w), -1).T + bias


def is_close(y: mx.array, truth: np.ndarray, bound: float = 2e-6) -> None:
    assert y.shape == truth.shape
    error = np.abs(to_numpy(y) - truth).max()
    assert error <= bound * np.abs(truth).max(), f"error {error:.2e} of {np.abs(truth).max():.2e}"


@pytest.mark.parametrize("group", [32, 64, 128])
@pytest.mark.parametrize("columns", [1, 16, 37, 130])
@pytest.mark.parametrize("dtype", [mx.float32, mx.float16, mx.bfloat16])
def test_against_float64(group, columns, dtype):
    """Any number of rows and columns, any storage of scales, with a bias and without."""
    for rows, depth in ((1, 128), (3, 640), (5, 256), (16, 128), (33, 256), (80, 128)):
        x, bias = random(rows, depth, shift=0.3), random(columns)
        packed = mx.quantize(mx.array(random(columns, depth)).astype(dtype), group_size=group, bits=8)
        options = {"group_size": group, "bits": 8, "x_bits": 8}
        is_close(ops.quantized_matmul(mx.array(x), *packed, **options), product(x, packed, group))
        y = ops.quantized_matmul(mx.array(x), *packed, **options, bias=mx.array(bias))
        is_close(y, product(x, packed, group, bias))


def test_half_precision_and_any_layout():
    x, weight = random(7, 128), mx.array(random(48, 128))
    packed = mx.quantize(weight, group_size=64, bits=8)
    options = {"group_size": 64, "bits": 8, "x_bits": 8}
    for view in views(x):
        is_close(ops.quantized_matmul(view, *packed, **options), product(to_numpy(view), packed, 64))
    half = mx.quantize(weight.astype(mx.float16), group_size=64, bits=8)
    y = ops.quantized_matmul(mx.array(x).astype(mx.float16), *half, **options)
    assert y.dtype == mx.float16
    is_close(y, product(x.astype(np.float16), half, 64), 2e-3)
    batch = mx.array(random(2, 3, 128))
    is_close(ops.quantized_matmul(batch, *packed, **options), product(to_numpy(batch), packed, 64))


def test_extreme_weights_and_inputs():
    """Whole-number sums at their limits: no product or pair of products saturates."""
    x = np.tile(np.float32([1, -1, 1, 1]), (6, 64))
    weight = np.ones((32, 256), np.float32)
    weight[:, ::2] = -1
    packed = mx.quantize(mx.array(weight), group_size=64, bits=8)
    options = {"group_size": 64, "bits": 8, "x_bits": 8}
    is_close(ops.quantized_matmul(mx.array(x), *packed, **options), product(x, packed, 64))
    y = ops.quantized_matmul(mx.array(np.abs(x)), *packed, **options)  # 256 terms of size 1 that cancel
    np.testing.assert_allclose(np.array(y), product(np.abs(x), packed, 64), rtol=0, atol=1e-5)
    for size in (0.0, 1e-38, 1e-20, 1e20):
        y = to_numpy(ops.quantized_matmul(mx.array(x * np.float32(size)), *packed, **options))
        truth = product(x * np.float32(size), packed, 64)
        np.testing.assert_allclose(y, truth, rtol=1e-5, atol=1e-5 * np.abs(truth).max())


def test_numbers_that_are_not_finite_stay_where_they_are():
    x = random(20, 128)
    x[3, 5], x[7, 90] = np.nan, np.inf
    packed = mx.quantize(mx.array(random(40, 128)), group_size=64, bits=8)
    y = to_numpy(ops.quantized_matmul(mx.array(x), *packed, group_size=64, bits=8, x_bits=8))
    others = np.delete(np.arange(20), [3, 7])
    assert np.isnan(y[3]).all() and not np.isfinite(y[7]).any()
    is_close(mx.array(y[others]), product(x[others], packed, 64))


def test_rounding_is_to_the_nearest_step():
    x = mx.array(random(9, 192) * 10)
    y = plain.rounded(x, 64)
    steps = mx.abs(x.reshape(9, 3, 64)).max(axis=-1, keepdims=True) / 127
    assert (mx.abs((y - x).reshape(9, 3, 64)) <= 0.5001 * steps).all().item()
    assert mx.allclose(plain.rounded(y, 64), y, rtol=1e-6).item()
    np.testing.assert_allclose(to_numpy(y), rounded(np.array(x), 64), rtol=1e-6)


@pytest.mark.parametrize("rows", [1, 5, 80])
def test_the_likeliest_tokens(rows):
    x, bias = random(rows, 128), random(3000)
    packed = mx.quantize(mx.array(random(3000, 128)), group_size=64, bits=8)
    logits = product(x, packed, 64, bias)
    best, ids, log_sums = ops.quantized_topk(
        mx.array(x), *packed, mx.array(bias), count=6, group_size=64, bits=8, x_bits=8
    )
    order = np.argsort(-logits, axis=-1, kind="stable")[:, :6]
    np.testing.assert_array_equal(np.array(ids), order)
    is_close(best, np.take_along_axis(logits, order, axis=-1))
    top = logits.max(axis=-1)
    np.testing.assert_allclose(np.array(log_sums), np.log(np.exp(logits - top[:, None]).sum(axis=-1)), atol=1e-5)


def test_layers_that_round_and_layers_that_do_not():
    module = nn.Module()
    module.eight, module.four = nn.Linear(128, 64), nn.Linear(128, 64)
    module.table = nn.Embedding(96, 128)
    nn.quantize(module, class_predicate=lambda path, _: {"bits": 4 if path == "four" else 8, "group_size": 64})
    x = mx.array(random(5, 128))
    exact = {name: linear(module[name], x) for name in ("eight", "four")}
    round_activations(module)
    eight = module.eight
    truth = product(np.array(x), (eight.weight, eight.scales, eight.biases), 64, np.array(eight.bias))
    is_close(linear(eight, x), truth)
    assert 1e-4 < np.abs(truth - np.array(exact["eight"])).max() < 0.05
    np.testing.assert_array_equal(np.array(linear(module.four, x)), np.array(exact["four"]))
    table = module.table
    logits = product(np.array(x), (table.weight, table.scales, table.biases), 64)
    is_close(output_logits(table, x), logits)
    best, ids, _ = OutputLayer(table).best(x, 3)
    np.testing.assert_array_equal(np.array(ids), np.argsort(-logits, axis=-1, kind="stable")[:, :3])
    is_close(best, np.take_along_axis(logits, np.array(ids), axis=-1))


PROGRAM = """
import sys, mlx.core as mx, numpy as np
from pytorch_to_mlx.backend import ops
data, out = np.load(sys.argv[1]), {}
for group in (32, 64, 128):
    packed = mx.quantize(mx.array(data["w"]), group_size=group, bits=8)
    for rows in (1, 6, 37):
        x = mx.array(data["x"][:rows])
        out[f"{group} {rows}"] = ops.quantized_matmul(x, *packed, True, group, 8, x_bits=8)
np.savez(sys.argv[2], **{name: np.array(value) for name, value in out.items()})
"""


@pytest.mark.skipif(CPU is None, reason="no kernels here")
@pytest.mark.parametrize("isa", VARIANTS)
def test_every_instruction_set(isa, tmp_path):
    """As far as this processor has them: the sums of whole numbers are equal, their sums by group nearly."""
    x, w = random(37, 512), random(70, 512)
    np.savez(tmp_path / "in.npz", x=x, w=w)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path / "in.npz"), str(tmp_path / "out.npz")],
        env={**os.environ, "PYTORCH_TO_MLX_ISA": isa}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    results = np.load(tmp_path / "out.npz")
    for name in results.files:
        group, rows = map(int, name.split())
        packed = mx.quantize(mx.array(w), group_size=group, bits=8)
        is_close(mx.array(results[name]), product(x[:rows], packed, group))
