"""Softmax and the norms against float64, with every kind of parameter, stride and edge."""

import mlx.core as mx
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from backend.kernels import CPU, no_worse_than_torch, random, to_numpy, views

from pytorch_to_mlx.backend import ops

EPS = 1e-5


@pytest.fixture(params=["native", "mlx"] if CPU else ["mlx"], autouse=True)
def path(request, monkeypatch):
    monkeypatch.setattr(ops, "kernels", (lambda: CPU) if request.param == "native" else (lambda: None))
    return request.param


@pytest.fixture
def factor(path):
    """How much worse than PyTorch: the kernels 2, MLX's own ops more."""
    return 2 if path == "native" else 60


SHAPES = [(1, 1), (3, 7), (2, 5, 16), (2, 19, 64), (4, 33), (1, 6, 512), (2, 3, 2, 100), (1500,), (2, 4099)]


@pytest.mark.parametrize("shift", [0, 100])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_layer_and_rms_norm(shape, shift, factor):
    D = shape[-1]
    x, w, b = random(*shape, shift=shift), random(D), random(D)
    plain = [mx.array(a) for a in (x, w, b)]
    for weight, bias in ((w, b), (w, None), (None, b), (None, None)):
        got = ops.layer_norm(plain[0], *(None if p is None else mx.array(p) for p in (weight, bias)), EPS)
        no_worse_than_torch(got, lambda x, w, b: F.layer_norm(x, (D,), w, b, EPS), x, weight, bias, factor=factor)
    no_worse_than_torch(ops.rms_norm(*plain[:2], EPS), lambda x, w: F.rms_norm(x, (D,), w, EPS), x, w, factor=factor)
    for view in views(x):
        np.testing.assert_allclose(
            to_numpy(ops.layer_norm(view, *plain[1:], EPS)), to_numpy(ops.layer_norm(*plain, EPS))
        )


def test_adaptive_layer_norm(factor):
    for shape in ((3, 11, 20), (2, 4, 5, 20)):
        x, one, each = random(*shape), random(20), random(shape[0], *(1 for _ in shape[2:]), 20)
        for w, b in ((each, each), (one, each), (each, one), (each, None)):
            got = ops.layer_norm(mx.array(x), mx.array(w), None if b is None else mx.array(b), EPS)
            no_worse_than_torch(
                got,
                lambda x, w, b: F.layer_norm(x, (20,), eps=EPS) * w + (0 if b is None else b),
                x,
                w,
                b,
                factor=factor,
            )


CHANNELS = [(1, 1, 3), (1, 9, 8), (2, 19, 64), (3, 300, 33), (1, 100, 512), (2, 2050, 10), (1, 40, 200)]


def instance(x, w=None, b=None):
    y = F.instance_norm(x.mT, eps=EPS).mT if x.shape[1] > 1 else torch.zeros_like(x)
    y = y if w is None else y * w
    return y if b is None else y + b


def snake(x, alpha):
    return x + torch.sin(alpha * x) ** 2 / alpha


@pytest.mark.parametrize("shift", [0, 100])
@pytest.mark.parametrize("shape", CHANNELS, ids=str)
def test_instance_norm(shape, shift, path):
    factor = 2 if path == "native" else 50
    D = shape[-1]
    x, w, b, alpha = random(*shape, shift=shift), random(D), random(D), np.abs(random(D)) + 0.3
    styled = random(shape[0], 1, D), random(shape[0], 1, D)
    a = mx.array(x)
    for weight, bias in ((w, b), styled, (styled[0], b), (None, b), (w, None), (None, None)):
        got = ops.instance_norm(a, EPS, *(None if p is None else mx.array(p) for p in (weight, bias)))
        no_worse_than_torch(got, instance, x, weight, bias, factor=factor)
    style = [mx.array(p) for p in styled]
    got = ops.instance_norm_snake(a, EPS, *style, mx.array(alpha))
    no_worse_than_torch(got, lambda x, w, b, a: snake(instance(x, w, b), a), x, *styled, alpha, factor=factor)
    got = ops.instance_norm_leaky_relu(a, EPS, *style, 0.2)
    no_worse_than_torch(got, lambda x, w, b: F.leaky_relu(instance(x, w, b), 0.2), x, *styled, factor=factor)
    for view in views(x):
        np.testing.assert_allclose(
            to_numpy(ops.instance_norm(view, EPS, *style)), to_numpy(ops.instance_norm(a, EPS, *style))
        )


@pytest.mark.parametrize("shift", [0, 100])
@pytest.mark.parametrize("groups", [1, 2, 8, 64])
def test_group_norm(groups, shift, path):
    x, w, b = random(2, 70, 64, shift=shift), random(64), random(64)
    got = ops.group_norm(mx.array(x), groups, mx.array(w), mx.array(b), EPS)
    factor = 2 if path == "native" else 50
    no_worse_than_torch(got, lambda x, w, b: F.group_norm(x.mT, groups, w, b, EPS).mT, x, w, b, factor=factor)
    no_worse_than_torch(
        ops.group_norm(mx.array(x), groups, None, None, EPS),
        lambda x: F.group_norm(x.mT, groups, eps=EPS).mT, x, factor=factor,
    )  # fmt: skip


@pytest.mark.parametrize("shape", [*SHAPES, (3, 1500)], ids=str)
def test_softmax(shape, factor):
    x = random(*shape) * 5
    got = ops.softmax(mx.array(x))
    no_worse_than_torch(got, lambda x: x.softmax(-1), x, factor=factor)
    for view in views(x):
        np.testing.assert_array_equal(to_numpy(ops.softmax(view)), to_numpy(got))
    for axis in range(-x.ndim, x.ndim):
        np.testing.assert_allclose(
            ops.softmax(mx.array(x), axis), torch.from_numpy(x).softmax(axis), rtol=1e-4, atol=1e-6
        )


def test_softmax_with_scale_and_mask(factor):
    x = random(2, 3, 7, 40) * 4
    for mask in (random(40), random(7, 40), random(2, 1, 7, 40), random(3, 1, 40), random(2, 3, 7, 1), random(1)):
        got = ops.softmax(mx.array(x), scale=0.3, mask=mx.array(mask))
        no_worse_than_torch(got, lambda x, m: (0.3 * x + m).softmax(-1), x, mask, factor=factor)


def test_special_values_are_as_in_mlx():
    rows = np.array(
        [[0, -np.inf, 1], [-np.inf] * 3, [np.inf, 0, 1], [np.nan, 0, 1], [1e38, -1e38, 1e38], [1e-40, 0, -1e-40]], "f4"
    )
    np.testing.assert_allclose(
        to_numpy(ops.softmax(mx.array(rows))), to_numpy(mx.softmax(mx.array(rows), axis=-1)), rtol=1e-6
    )
    for x in (rows[3:4], np.array([[np.inf, 1, 2]], "f4")):
        assert np.isnan(to_numpy(ops.layer_norm(mx.array(x), None, None, EPS))).all()
    assert np.isnan(to_numpy(ops.rms_norm(mx.array(rows[3:4]), None, EPS))).all()
    column = ops.instance_norm(mx.array(np.array([[[1, np.nan], [2, 3]]], "f4")), EPS)
    assert np.isnan(to_numpy(column)).tolist() == [[[False, True], [False, True]]]
    np.testing.assert_array_equal(to_numpy(ops.layer_norm(mx.zeros((2, 8)), None, mx.ones(8), EPS)), np.ones((2, 8)))


def test_empty():
    for shape in ((0, 8), (2, 0, 8)):
        x = mx.zeros(shape)
        assert ops.softmax(x).shape == shape
        assert ops.layer_norm(x, mx.ones(8), None, EPS).shape == shape
        assert ops.rms_norm(x, mx.ones(8), EPS).shape == shape
    assert ops.instance_norm(mx.zeros((0, 4, 8)), EPS, mx.ones(8), mx.ones(8)).shape == (0, 4, 8)


@pytest.mark.parametrize("dtype, bits", [(mx.float16, 11), (mx.bfloat16, 8)])
def test_half_precision(dtype, bits):
    x, w = mx.array(random(2, 50, 24)).astype(dtype), mx.array(random(24)).astype(dtype)
    x64, w64 = (torch.from_numpy(to_numpy(a)).double() for a in (x, w))
    for got, truth in (
        (ops.layer_norm(x, w, w, EPS), F.layer_norm(x64, (24,), w64, w64, EPS)),
        (ops.rms_norm(x, w, EPS), F.rms_norm(x64, (24,), w64, EPS)),
        (ops.instance_norm(x, EPS, w, w), instance(x64, w64, w64)),
        (ops.softmax(x), x64.softmax(-1)),
    ):
        assert got.dtype == dtype
        error = np.abs(to_numpy(got) - truth.numpy())
        assert error.max() <= 4 * 2.0**-bits * np.abs(truth.numpy()).max()


def test_wrong_parameters_are_refused(path):
    if path == "mlx":
        pytest.skip("MLX's own ops word it differently")
    x = mx.zeros((2, 5, 8))
    for call in (
        lambda: ops.layer_norm(x, mx.ones(7), None, EPS),
        lambda: ops.layer_norm(x, mx.ones((3, 1, 8)), None, EPS),
        lambda: ops.layer_norm(x, mx.ones((2, 5, 8)), None, EPS),
        lambda: ops.instance_norm(x, EPS, mx.ones((2, 8))),
        lambda: ops.instance_norm_snake(x, EPS, mx.ones(8), mx.ones(8), mx.ones(4)),
        lambda: ops.group_norm(x, 3, None, None, EPS),
        lambda: ops.group_norm(x, 0, None, None, EPS),
    ):
        with pytest.raises(ValueError, match=r"must be"):
            call()


def test_rows_are_not_scaled_wrongly(path):
    """An error in a row's mean or variance moves all of its numbers alike: sums are float64."""
    if path == "mlx":
        pytest.skip("mx.fast.layer_norm is five times less exact")
    x = np.random.default_rng(0).standard_normal((200, 768)).astype(np.float32) * 2 + 0.3
    wide = x.astype(np.float64)
    exact = (wide - wide.mean(1, keepdims=True)) / np.sqrt(wide.var(1, keepdims=True) + EPS)
    error = to_numpy(ops.layer_norm(mx.array(x), None, None, EPS)) - exact
    assert np.abs((error * exact).mean(1)).max() < 4e-8 and np.abs(error.mean(1)).max() < 4e-8
