"""The facade against PyTorch in float64, with and without the native kernels; gradients against MLX's own ops."""

import itertools

import mlx.core as mx
import numpy as np
import pytest
import torch

from pytorch_to_mlx.backend import native, ops

CPU = native.load()[0]


@pytest.fixture(params=["native", "mlx"] if CPU else ["mlx"], autouse=True)
def path(request, monkeypatch):
    monkeypatch.setattr(ops, "kernels", (lambda: CPU) if request.param == "native" else (lambda: None))
    return request.param


def random(*shape):
    return np.random.randn(*shape).astype(np.float32)


def close(ours: mx.array, truth, scale=1.0):
    truth = truth.numpy() if isinstance(truth, torch.Tensor) else truth
    ours = np.array(ours)
    assert ours.shape == truth.shape
    np.testing.assert_allclose(ours, truth, rtol=2e-5, atol=1e-5 * scale)


def torch64(x):
    return torch.from_numpy(np.array(x)).double()


CONVS = [
    dict(L=L, C=C, D=D, K=K, stride=s, padding=p, dilation=d, groups=g, B=B)
    for (L, K, s, p, d), (C, D, g), B in itertools.product(
        [(37, 3, 1, 1, 1), (37, 3, 1, 5, 5), (50, 7, 1, 9, 3), (50, 5, 2, 2, 1), (41, 4, 3, 1, 2), (11, 11, 1, 0, 1)],
        [(8, 12, 1), (6, 6, 6), (6, 12, 6), (8, 12, 4), (1, 3, 1), (33, 17, 1)],
        [1, 2],
    )
]  # fmt: skip


@pytest.mark.parametrize("c", CONVS, ids=lambda c: "-".join(str(v) for v in c.values()))
def test_conv1d(c):
    x, w, b = random(c["B"], c["L"], c["C"]), random(c["D"], c["K"], c["C"] // c["groups"]), random(c["D"])
    options = {k: c[k] for k in ("stride", "padding", "dilation", "groups")}
    truth = torch.conv1d(torch64(x).mT, torch64(w).mT, torch64(b), **options).mT
    close(ops.conv1d(mx.array(x), mx.array(w), mx.array(b), **options), truth, scale=c["K"] * c["C"])
    close(ops.conv1d(mx.array(x), mx.array(w), **options), truth - torch64(b), scale=c["K"] * c["C"])


TRANSPOSED = [
    (L, C, D, K, s, p, op, g)
    for (L, K, s, p, op), (C, D, g) in itertools.product(
        [(17, 20, 10, 5, 0), (20, 12, 6, 3, 0), (13, 3, 2, 1, 1), (13, 4, 3, 0, 2), (9, 2, 5, 0, 4), (1, 3, 2, 0, 0)],
        [(8, 6, 1), (6, 6, 6), (8, 12, 4)],
    )
]  # fmt: skip


@pytest.mark.parametrize("c", TRANSPOSED, ids=str)
def test_conv_transpose1d(c):
    L, C, D, K, stride, padding, output_padding, groups = c
    x, w, b = random(2, L, C), random(D, K, C // groups), random(D)
    options = dict(stride=stride, padding=padding, output_padding=output_padding, groups=groups)
    # torch's weight is [C, D / groups, K]
    theirs = torch64(w).reshape(groups, D // groups, K, C // groups).permute(0, 3, 1, 2).reshape(C, D // groups, K)
    truth = torch.conv_transpose1d(torch64(x).mT, theirs, torch64(b), **options).mT
    close(ops.conv_transpose1d(mx.array(x), mx.array(w), mx.array(b), **options), truth, scale=K * C)


@pytest.mark.parametrize("channels", [1, 5, 16, 33, 128])
def test_snake(channels):
    x, alpha = random(2, 19, channels) * 4, np.abs(random(channels)) + 0.1
    truth = x.astype("f8") + np.sin(alpha.astype("f8") * x.astype("f8")) ** 2 / alpha.astype("f8")
    close(ops.snake(mx.array(x), mx.array(alpha)), truth)
    close(ops.snake(mx.array(x)[:, ::2], mx.array(alpha)), truth[:, ::2])


def gradients(function, *arrays):
    weights = mx.array(random(*function(*arrays).shape))
    return mx.grad(lambda *a: (function(*a) * weights).sum(), argnums=tuple(range(len(arrays))))(*arrays)


def same_gradients(function, plain, *arrays):
    arrays = [mx.array(a) for a in arrays]
    np.random.seed(1)
    ours = gradients(function, *arrays)
    np.random.seed(1)
    for got, want in zip(ours, gradients(plain, *arrays), strict=True):
        np.testing.assert_allclose(np.array(got), np.array(want), rtol=1e-4, atol=1e-4)


def test_gradients():
    same_gradients(ops.snake, lambda x, a: x + mx.sin(a * x) ** 2 / a, random(2, 9, 8), np.abs(random(8)) + 0.1)
    for options in (dict(padding=5, dilation=5), dict(padding=1), dict(stride=2)):
        same_gradients(
            lambda x, w, o=options: ops.conv1d(x, w, **o),
            lambda x, w, o=options: mx.conv1d(x, w, **o),
            random(2, 33, 8),
            random(6, 3, 8),
        )
    same_gradients(
        lambda x, w: ops.conv1d(x, w, padding=1, groups=4),
        lambda x, w: mx.concatenate(
            [mx.conv1d(x[..., 2 * g : 2 * g + 2], w[3 * g : 3 * g + 3], padding=1) for g in range(4)], axis=-1
        ),
        random(2, 20, 8),
        random(12, 3, 2),
    )
    same_gradients(
        lambda x, w: ops.conv_transpose1d(x, w, stride=3, padding=1),
        lambda x, w: mx.conv_transpose1d(x, w, stride=3, padding=1),
        random(2, 11, 8),
        random(6, 5, 8),
    )
