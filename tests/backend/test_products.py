"""Convolutions and matrix products over random shapes, and where an Inf or a NaN comes in."""

import mlx.core as mx
import numpy as np
import pytest
import torch
from backend.kernels import CPU, no_worse_than_torch, random, to_numpy

from pytorch_to_mlx.backend import ops, plain

FACTOR = 2 if CPU else 20  # how much worse than PyTorch; MLX's reference BLAS sums in one chain


def pick(rng: np.random.Generator, *values: int) -> int:
    return int(rng.choice(values))


def one_dimension(rng: np.random.Generator) -> dict:
    """A convolution of any kind: one row or many, one channel or many, grouped, depthwise, dilated."""
    groups = pick(rng, 1, 1, 1, 2, 8)
    channels = groups * pick(rng, 1, 2, 5, 16, 33, 64 if groups == 1 else 3)
    columns = channels if groups == channels else groups * pick(rng, 1, 3, 17, 60)
    taps, dilation, stride = pick(rng, 1, 2, 3, 7, 12, 40), pick(rng, 1, 1, 1, 2, 5), pick(rng, 1, 1, 2, 3)
    rows, padding = pick(rng, 1, 2, 9, 60, 450), pick(rng, 0, (taps - 1) * dilation // 2)
    length = max(1, (rows - 1) * stride + (taps - 1) * dilation + 1 - 2 * padding)
    sizes = dict(B=pick(rng, 1, 3), L=length, C=channels, D=columns, K=taps)
    return sizes | dict(stride=stride, padding=padding, dilation=dilation, groups=groups)


@pytest.mark.parametrize("seed", range(40))
def test_conv1d(seed):
    c = one_dimension(np.random.default_rng(seed))
    x, w, b = random(c["B"], c["L"], c["C"]), random(c["D"], c["K"], c["C"] // c["groups"]), random(c["D"])
    options = {k: c[k] for k in ("stride", "padding", "dilation", "groups")}
    no_worse_than_torch(
        ops.conv1d(mx.array(x), mx.array(w), mx.array(b), **options),
        lambda x, w, b: torch.conv1d(x.mT, w.mT, b, **options).mT,
        x, w, b, factor=FACTOR, rounding=1e-6 if x.size < 1000 else 2.4e-7,
    )  # fmt: skip


@pytest.mark.parametrize("seed", range(30))
def test_conv2d(seed):
    rng = np.random.default_rng(seed)
    groups = pick(rng, 1, 1, 1, 2, 6)
    channels = groups * pick(rng, 1, 3, 16, 40 if groups == 1 else 2)
    columns = channels if groups == channels else groups * pick(rng, 1, 5, 33)
    kernel = pick(rng, 1, 2, 3, 5), pick(rng, 1, 3, 4)
    options = dict(
        stride=(pick(rng, 1, 1, 2), pick(rng, 1, 1, 3)), padding=(pick(rng, 0, 1), pick(rng, 0, 2)),
        dilation=(pick(rng, 1, 1, 2), pick(rng, 1, 1, 3)), groups=groups,
    )  # fmt: skip
    reach = [d * (k - 1) + 1 for d, k in zip(options["dilation"], kernel, strict=True)]
    x = random(pick(rng, 1, 2), *(r + pick(rng, 0, 4, 21, 33) for r in reach), channels)
    w, b = random(columns, *kernel, channels // groups), random(columns)
    no_worse_than_torch(
        ops.conv2d(mx.array(x), mx.array(w), mx.array(b), **options),
        lambda x, w, b: torch.conv2d(x.permute(0, 3, 1, 2), w.permute(0, 3, 1, 2), b, **options).permute(0, 2, 3, 1),
        x, w, b, factor=FACTOR, rounding=1e-6 if x.size < 1000 else 2.4e-7,
    )  # fmt: skip


CONVOLUTIONS = {  # how it is computed: (sizes of x and of the weight, options)
    "shared products": ((1, 600, 64), (64, 3, 64), dict(padding=1)),
    "shared products, dilated": ((2, 500, 64), (50, 11, 64), dict(padding=15, dilation=3)),
    "shared products, two taps left": ((1, 700, 48), (64, 5, 48), {}),
    "one product a tap": ((1, 60, 64), (70, 3, 64), dict(padding=2, dilation=2)),
    "one stretch of memory": ((1, 60, 24), (32, 3, 24), dict(padding=1, stride=2)),
    "few rows": ((1, 100, 512), (100, 3, 512), dict(padding=1)),
    "one channel, few rows": ((1, 900, 1), (512, 400, 1), {}),
    "least rows": ((3, 6, 24), (32, 3, 24), dict(padding=1)),
    "grouped": ((1, 100, 16), (32, 3, 4), dict(padding=1, groups=4)),
    "depthwise": ((1, 100, 16), (16, 3, 1), dict(padding=1, groups=16)),
}
TRANSPOSED = {
    "taps left over": ((1, 30, 16), (12, 7, 16), dict(stride=3, padding=2)),
    "fewer taps than steps": ((1, 30, 16), (12, 2, 16), dict(stride=5)),
    "few rows": ((1, 40, 512), (64, 16, 512), dict(stride=8, padding=4)),
    "depthwise": ((1, 30, 16), (16, 7, 1), dict(stride=3, padding=2, groups=16)),
    "depthwise, fewer taps than steps": ((1, 30, 16), (16, 2, 1), dict(stride=5, groups=16)),
}
IMAGES = {
    "gathered windows": ((2, 20, 24, 16), (32, 3, 3, 16), dict(padding=1, stride=(1, 2))),
    "gathered windows, more than are held": ((1, 25, 25, 1024), (8, 3, 3, 1024), dict(padding=1)),
    "long lines": ((2, 5, 60, 16), (32, 3, 3, 16), dict(padding=1)),
    "one by one": ((2, 5, 9, 16), (32, 1, 1, 16), {}),
}
EVERY = [
    (name, kind, case)
    for kind, cases in (("conv1d", CONVOLUTIONS), ("conv_transpose1d", TRANSPOSED), ("conv2d", IMAGES))
    for name, case in cases.items()
]


def kinds(y: mx.array) -> np.ndarray:
    """What each number is: 2 for NaN, 1 for Inf, -1 for -Inf, else 0."""
    n = to_numpy(y)
    return np.where(np.isnan(n), 2, np.where(np.isinf(n), np.sign(n), 0))


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("name, kind, case", EVERY, ids=lambda v: v if isinstance(v, str) else "")
@pytest.mark.parametrize("where", ["x", "weight"])
def test_what_is_not_finite_goes_where_it_goes_in_mlx(where, name, kind, case, value):
    size, kernel, options = case
    x, w, b = random(*size), random(*kernel), random(kernel[0])
    some = x if where == "x" else w
    for place in (some.size // 3, some.size // 2):
        some.reshape(-1)[place] = value
    ours = getattr(ops, kind)(mx.array(x), mx.array(w), mx.array(b), **options)
    theirs = getattr(mx, kind)(mx.array(x), mx.array(w), **options) + mx.array(b)
    if where == "weight":  # the padding's zeros times Inf are NaN in some of MLX's ways to compute, not in all
        edge = kernel[1] if kind == "conv_transpose1d" else options.get("padding", 0)
        inner = slice(edge, ours.shape[1] - edge)
        ours, theirs = ours[:, inner], theirs[:, inner]
    np.testing.assert_array_equal(kinds(ours), kinds(theirs))
    finite = np.isfinite(to_numpy(theirs))
    assert not finite.all() and finite.any()
    np.testing.assert_allclose(to_numpy(ours)[finite], to_numpy(theirs)[finite], rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("length", [2, 20])
def test_a_weight_that_is_not_finite_meets_the_first_state_too(length, value):
    """0 times Inf is NaN, in PyTorch's first step and in MLX's."""
    gates, weight = random(2, 3, length, 32), random(2, 32, 8)
    weight[0, 3, 2] = weight[1, 20, 5] = value
    arrays = mx.array(gates), mx.array(weight)
    np.testing.assert_array_equal(kinds(ops.lstm(*arrays)), kinds(plain.lstm(*arrays)))


def test_numbers_near_the_greatest_do_not_overflow_by_being_mixed():
    x, w = np.zeros((1, 600, 64), np.float32), np.full((64, 3, 64), 1e-3, np.float32)
    x[0, 300:302, 5] = 3e38
    y = to_numpy(ops.conv1d(mx.array(x), mx.array(w), padding=1))
    assert np.isfinite(y).all()
    np.testing.assert_allclose(y[0, 299:303, 0], [3e35, 6e35, 6e35, 3e35], rtol=1e-5)


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("rows", [1, 5, 16, 70])
@pytest.mark.parametrize("bits", [0, 8, 4])
def test_what_is_not_finite_goes_where_it_goes_in_mlx_by_a_matrix(bits, rows, value):
    x, w = random(rows, 256), random(64, 256)
    x[0, 100] = x[-1, 30] = value
    if not bits:
        np.testing.assert_array_equal(
            kinds(ops.linear(mx.array(x), mx.array(w))), kinds(plain.linear(mx.array(x), mx.array(w)))
        )
        return
    packed = mx.quantize(mx.array(w), group_size=64, bits=bits)
    ours = kinds(ops.quantized_matmul(mx.array(x), *packed, True, 64, bits))
    theirs = kinds(plain.quantized_matmul(mx.array(x), *packed, True, 64, bits))
    # A weight that stands for 0 but for rounding makes a NaN or an Inf of an Inf.
    zero = np.abs(to_numpy(mx.dequantize(*packed, 64, bits))[:, [30, 100]]).min(axis=1) < 1e-6
    np.testing.assert_array_equal(ours[:, ~zero], theirs[:, ~zero])
    assert (ours[0] != 0).all() and (bits == 4 or zero.sum() < 8)


@pytest.mark.parametrize("dtype", [mx.float32, mx.float16, mx.bfloat16])
@pytest.mark.parametrize("rows", [257, 470, 2049, 2100])
def test_many_rows(rows, dtype):
    """They are divided into jobs, and very many into several products: a row does not depend on where it stands."""
    x, w, b = random(rows, 200), mx.array(random(150, 200)).astype(dtype), random(150)
    ours = ops.linear(mx.array(x), w, mx.array(b))
    no_worse_than_torch(ours, torch.nn.functional.linear, x, np.array(w.astype(mx.float32)), b, factor=FACTOR)
    if CPU is not None:
        turned = ops.linear(mx.array(x[::-1].copy()), w, mx.array(b))[::-1]
        assert np.array_equal(ours, turned)


@pytest.mark.parametrize("value", [np.inf, np.nan, 2e30])
@pytest.mark.parametrize("row", [3, 290])
def test_one_great_number_in_many_rows(row, value):
    x, w = random(300, 96), random(150, 96)
    w[64, 7] = value
    for _ in range(2):
        ours, theirs = ops.linear(mx.array(x), mx.array(w)), plain.linear(mx.array(x), mx.array(w))
        np.testing.assert_array_equal(kinds(ours), kinds(theirs))
        x[row, 5] = value
