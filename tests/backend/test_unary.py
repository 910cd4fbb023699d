"""Elementwise functions against float64, over the whole range of float32."""

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from backend.kernels import CPU, random, to_numpy, views

from pytorch_to_mlx.backend import ops

# ours, PyTorch's, MLX's own
FUNCTIONS = {
    "exp": (ops.exp, torch.exp, mx.exp),
    "sin": (ops.sin, torch.sin, mx.sin),
    "cos": (ops.cos, torch.cos, mx.cos),
    "tanh": (ops.tanh, torch.tanh, mx.tanh),
    "sigmoid": (ops.sigmoid, torch.sigmoid, mx.sigmoid),
    "erf": (ops.erf, torch.erf, mx.erf),
    "gelu": (ops.gelu, F.gelu, nn.gelu),
    "gelu_tanh": (ops.gelu_tanh, lambda x: F.gelu(x, approximate="tanh"), nn.gelu_approx),
    "silu": (ops.silu, F.silu, nn.silu),
    "mish": (ops.mish, F.mish, nn.mish),
    "elu": (lambda x: ops.elu(x, 0.7), lambda x: F.elu(x, 0.7), lambda x: nn.elu(x, 0.7)),
    "leaky_relu": (lambda x: ops.leaky_relu(x, 0.2), lambda x: F.leaky_relu(x, 0.2), lambda x: nn.leaky_relu(x, 0.2)),
}
# PyTorch's GELUs in float64 lose the tail to 1 + erf(x): here it is kept
TRUTH = {name: theirs for name, (_, theirs, _) in FUNCTIONS.items()} | {
    "gelu": lambda x: x * torch.special.erfc(-x * np.sqrt(0.5)) * 0.5,
    "gelu_tanh": lambda x: x * torch.sigmoid(2 * np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)),
}
SPECIAL = np.array(
    [np.inf, -np.inf, np.nan, 0, -0.0, 1e-40, -1e-40, 1e20, -1e20, 3e38, -3e38, 88, 89, -104], np.float32
)
each_function = pytest.mark.parametrize("name", FUNCTIONS)


@pytest.fixture(params=["native", "mlx"] if CPU else ["mlx"], autouse=True)
def path(request, monkeypatch):
    monkeypatch.setattr(ops, "kernels", (lambda: CPU) if request.param == "native" else (lambda: None))
    return request.param


def inputs() -> np.ndarray:
    """Every order of magnitude (random bits), what models see, and where the polynomials meet."""
    bits = np.random.randint(0, 2**32, 200_000, dtype=np.uint32).view(np.float32)
    near = np.concatenate([random(100_000) * 3, random(50_000) * 50, np.linspace(-110, 110, 50_001, dtype=np.float32)])
    near = np.concatenate([near, np.arange(-3000, 3000, dtype=np.float32) * np.float32(np.pi / 2)])
    return np.concatenate([bits[np.isfinite(bits)], near])


@each_function
def test_error(name, path):
    ours, theirs, _ = FUNCTIONS[name]
    x = inputs()
    truth = TRUTH[name](torch.from_numpy(x).double()).numpy()
    got, reference = to_numpy(ours(mx.array(x))), theirs(torch.from_numpy(x)).numpy()
    with np.errstate(over="ignore"):
        rounded = truth.astype(np.float32)
    fits = np.isfinite(rounded) & np.isfinite(reference)
    if path == "mlx":  # MLX's own functions flush denormal arguments and are less exact: only the shape of the answer
        fits &= (np.abs(x) > 1e-30) & (np.abs(x) < 80)
        assert np.allclose(got[fits], truth[fits], rtol=1e-3, atol=2e-6)
        return
    assert np.isfinite(got[fits]).all()
    # in units of the last place of 1 or of the result, whichever is larger ...
    unit = np.maximum(np.spacing(np.abs(rounded[fits])), 2.0**-24)
    worst = [np.abs(y[fits] - truth[fits]) / unit for y in (got, reference)]
    assert worst[0].max() <= max(2 * worst[1].max(), 1.2)  # 1.15 without fused multiply-add
    # ... and of the result alone
    unit = np.spacing(np.abs(rounded[fits]))
    worst = [(np.abs(y[fits] - truth[fits]) / unit).max() for y in (got, reference)]
    assert worst[0] <= max(2 * worst[1], 1.5)


@each_function
def test_special_values_are_as_in_mlx(name):
    ours, _, mlx = FUNCTIONS[name]
    got, want = to_numpy(ours(mx.array(SPECIAL))), to_numpy(mlx(mx.array(SPECIAL)))
    kept = np.abs(SPECIAL) != np.float32(1e-40)  # where MLX flushes to zero
    huge = np.isinf(want) & np.isfinite(SPECIAL) & (np.abs(SPECIAL) > 1e37)  # MLX doubles 3e38 on the way
    np.testing.assert_allclose(got[kept & ~huge], want[kept & ~huge], rtol=1e-5, atol=1e-30)
    np.testing.assert_allclose(
        got[~kept], FUNCTIONS[name][1](torch.from_numpy(SPECIAL[~kept]).double()), rtol=1e-5, atol=2e-40
    )


@each_function
@pytest.mark.parametrize("shape", [(), (1,), (3,), (17,), (5, 33), (2, 3, 4, 5), (0,), (3, 0)])
def test_shapes_and_strides(name, shape):
    ours, theirs, _ = FUNCTIONS[name]
    x = random(*shape) if shape else np.float32(0.3)
    got = ours(mx.array(x))
    assert got.shape == shape and got.dtype == mx.float32
    np.testing.assert_allclose(to_numpy(got), theirs(torch.from_numpy(np.array(x)).double()), rtol=1e-5, atol=1e-6)
    if len(shape) and np.size(x):
        for view in views(x):
            np.testing.assert_array_equal(to_numpy(ours(view)), to_numpy(got))
    row = mx.broadcast_to(mx.array([0.5, -1.5]), (3, 2))
    np.testing.assert_array_equal(to_numpy(ours(row)), np.tile(to_numpy(ours(mx.array([0.5, -1.5]))), (3, 1)))


@each_function
@pytest.mark.parametrize("dtype, bits", [(mx.float16, 11), (mx.bfloat16, 8)])
def test_half_precision_rounds_once(name, dtype, bits, path):
    ours = FUNCTIONS[name][0]
    x = mx.array(np.concatenate([random(4001) * 2, [0, 1e-6, -1e-6]]).astype(np.float32)).astype(dtype)
    truth = TRUTH[name](torch.from_numpy(to_numpy(x)).double()).numpy()
    got = ours(x)
    assert got.dtype == dtype
    least = 2.0**-24 if dtype == mx.float16 else 1e-38
    slack = 0.51 if path == "native" else 8
    error = np.abs(to_numpy(got) - truth)
    if path == "mlx":
        least = 2.0**-bits
    assert (error <= slack * 2.0 ** (1 - bits) * np.abs(truth) + least).all()


def test_integers_and_float64_go_to_mlx():
    np.testing.assert_allclose(to_numpy(ops.exp(mx.array([0, 1]))), [1, np.e], rtol=1e-6)
    with mx.stream(mx.cpu):
        y = ops.tanh(mx.array([0.5], mx.float64))
        assert y.dtype == mx.float64 and abs(y.item() - np.tanh(0.5)) < 1e-15


def test_an_input_that_is_used_again_is_left_alone():
    x = mx.array(random(1000))
    before = to_numpy(x)
    y = x + 1
    z = ops.exp(y) + y
    np.testing.assert_allclose(to_numpy(z), np.exp(before + 1) + before + 1, atol=1e-5)
    np.testing.assert_array_equal(to_numpy(x), before)
