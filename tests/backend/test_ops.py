"""The facade against PyTorch in float64, with and without the native kernels; gradients against MLX's own ops."""

import itertools

import mlx.core as mx
import numpy as np
import pytest
import torch
from backend.kernels import CPU, no_worse_than_torch, random, to_numpy, views

from pytorch_to_mlx.backend import ops, plain


@pytest.fixture(params=["native", "mlx"] if CPU else ["mlx"], autouse=True)
def path(request, monkeypatch):
    monkeypatch.setattr(ops, "kernels", (lambda: CPU) if request.param == "native" else (lambda: None))
    return request.param


@pytest.fixture
def factor(path):
    """How much worse than PyTorch: the kernels 2, MLX's own ops, which sum in one chain, more."""
    return 2 if path == "native" else 20


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
def test_conv1d(c, factor):
    x, w, b = random(c["B"], c["L"], c["C"]), random(c["D"], c["K"], c["C"] // c["groups"]), random(c["D"])
    options = {k: c[k] for k in ("stride", "padding", "dilation", "groups")}

    def theirs(x, w, b=None):
        return torch.conv1d(x.mT, w.mT, b, **options).mT

    arrays = [mx.array(a) for a in (x, w, b)]
    no_worse_than_torch(ops.conv1d(*arrays, **options), theirs, x, w, b, factor=factor)
    no_worse_than_torch(ops.conv1d(*arrays[:2], **options), theirs, x, w, factor=factor)
    turned = mx.array(np.ascontiguousarray(x.swapaxes(1, 2))).swapaxes(1, 2)  # the same numbers, other strides
    no_worse_than_torch(ops.conv1d(turned, *arrays[1:], **options), theirs, x, w, b, factor=factor)
    sliced = mx.array(np.repeat(x, 2, axis=1))[:, ::2]
    no_worse_than_torch(ops.conv1d(sliced, *arrays[1:], **options), theirs, x, w, b, factor=factor)


def test_conv1d_pads_each_side_as_told():
    x, w = random(1, 20, 4), random(5, 3, 4)
    truth = torch.conv1d(torch.nn.functional.pad(torch64(x).mT, (4, 1)), torch64(w).mT, dilation=2).mT
    close(ops.conv1d(mx.array(x), mx.array(w), padding=(4, 1), dilation=2), truth)


@pytest.mark.parametrize("channels", [512, 1024])
@pytest.mark.parametrize("columns", [40, 300])
def test_conv1d_with_rows_that_alias_in_the_cache(channels, columns, factor):
    x, w, add = random(2, 230, channels), random(columns, 3, channels), random(2, 115, columns)
    for dilation in (1, 3):
        no_worse_than_torch(
            ops.conv1d(mx.array(x), mx.array(w), padding=3, dilation=dilation),
            lambda x, w, d=dilation: torch.conv1d(x.mT, w.mT, padding=3, dilation=d).mT,
            x, w, factor=factor,
        )  # fmt: skip
    no_worse_than_torch(
        ops.conv1d(*(mx.array(a) for a in (x, w)), padding=(2, 0), stride=2, add=mx.array(add)),
        lambda x, w, a: torch.conv1d(torch.nn.functional.pad(x.mT, (2, 0)), w.mT, stride=2).mT + a,
        x, w, add, factor=factor,
    )  # fmt: skip


def test_half_precision_and_float64_work():
    x, w = random(1, 20, 8), random(6, 3, 8)
    truth = torch.conv1d(torch64(x).mT, torch64(w).mT).mT.numpy()
    for dtype, tolerance in ((mx.float16, 2e-2), (mx.bfloat16, 2e-1), (mx.float64, 1e-12)):
        if dtype == mx.float64:
            with mx.stream(mx.cpu):
                y = ops.conv1d(mx.array(x, dtype), mx.array(w, dtype))
        else:
            y = ops.conv1d(mx.array(x, dtype), mx.array(w, dtype))
        assert y.dtype == dtype
        np.testing.assert_allclose(np.array(y.astype(mx.float32)), truth, atol=max(tolerance, 1e-4))


TRANSPOSED = [
    (L, C, D, K, s, p, op, g)
    for (L, K, s, p, op), (C, D, g) in itertools.product(
        [(17, 20, 10, 5, 0), (20, 12, 6, 3, 0), (13, 3, 2, 1, 1), (13, 4, 3, 0, 2), (9, 2, 5, 0, 4), (1, 3, 2, 0, 0)],
        [(8, 6, 1), (6, 6, 6), (8, 12, 4)],
    )
] + [(30, 512, 64, 20, 10, 5, 0, 1), (1, 300, 90, 7, 5, 2, 0, 1), (40, 256, 128, 16, 8, 3, 2, 1)]  # fmt: skip


@pytest.mark.parametrize("c", TRANSPOSED, ids=str)
def test_conv_transpose1d(c, factor):
    L, C, D, K, stride, padding, output_padding, groups = c
    x, w, b = random(2, L, C), random(D, K, C // groups), random(D)
    options = dict(stride=stride, padding=padding, output_padding=output_padding, groups=groups)
    # torch's weight is [C, D / groups, K]
    turned = w.reshape(groups, D // groups, K, C // groups).transpose(0, 3, 1, 2).reshape(C, D // groups, K)
    no_worse_than_torch(
        ops.conv_transpose1d(mx.array(x), mx.array(w), mx.array(b), **options),
        lambda x, w, b: torch.conv_transpose1d(x.mT, w, b, **options).mT,
        x, turned, b, factor=factor,
    )  # fmt: skip


@pytest.mark.parametrize("dtype", [mx.float32, mx.float16, mx.bfloat16])
@pytest.mark.parametrize(("L", "half", "D"), [(1, 32, 64), (7, 16, 32), (5, 9, 20), (300, 8, 41)])
def test_rotate(L, half, D, dtype):
    x, angles = random(2, 3, L, D), random(L, half) * 3
    cos, sin = np.cos(angles), np.sin(angles)

    def turned(x, cos, sin):
        a, b, rest = x.split([half, half, D - 2 * half], dim=-1)
        return torch.cat([a * cos - b * sin, a * sin + b * cos, rest], dim=-1)

    tables = mx.array(cos), mx.array(sin)
    for view in views(x):
        ours = ops.rotate(view.astype(dtype), *tables)
        assert ours.dtype == dtype
        if dtype == mx.float32:
            no_worse_than_torch(ours, turned, x, cos, sin)
        else:
            truth = turned(*(torch.from_numpy(v) for v in (to_numpy(mx.array(x).astype(dtype)), cos, sin))).numpy()
            np.testing.assert_allclose(to_numpy(ours), truth, atol=0.01 if dtype == mx.float16 else 0.05)


@pytest.mark.parametrize("channels", [1, 5, 16, 33, 128])
def test_snake(channels):
    x, alpha = random(2, 19, channels) * 4, np.abs(random(channels)) + 0.1
    truth = x.astype("f8") + np.sin(alpha.astype("f8") * x.astype("f8")) ** 2 / alpha.astype("f8")
    close(ops.snake(mx.array(x), mx.array(alpha)), truth)
    close(ops.snake(mx.array(x)[:, ::2], mx.array(alpha)), truth[:, ::2])


@pytest.mark.parametrize("dtype", [mx.float32, mx.float16, mx.bfloat16])
@pytest.mark.parametrize(
    "rows, depth, size", [(1, 7, 3), (2, 64, 33), (3, 100, 5), (5, 96, 40), (8, 33, 9), (9, 65, 70), (70, 128, 130)]
)
def test_linear(rows, depth, size, dtype, factor):
    x, w, b = random(rows, depth), mx.array(random(size, depth)).astype(dtype), random(size)
    values = np.array(w.astype(mx.float32))
    theirs = torch.nn.functional.linear
    no_worse_than_torch(ops.linear(mx.array(x), w, mx.array(b)), theirs, x, values, b, factor=factor)
    no_worse_than_torch(ops.linear(mx.array(x)[None], w)[0], theirs, x, values, factor=factor)
    wide = mx.array(np.repeat(x, 2, axis=1))[:, ::2]
    doubled = mx.concatenate([w, w], axis=1)[:, :depth]
    no_worse_than_torch(ops.linear(wide, doubled, mx.array(b)), theirs, x, values, b, factor=factor)


@pytest.mark.parametrize("dtype, bits", [(mx.float16, 11), (mx.bfloat16, 8)])
@pytest.mark.parametrize(
    "rows, depth, size, quantized",
    [(1, 7, 3, None), *((*sizes, q) for sizes in ((2, 96, 70), (9, 64, 33), (300, 128, 257)) for q in (None, 8, 4))],
)
def test_products_of_small_floats(rows, depth, size, dtype, bits, quantized, path):
    """x, weights and bias in 16 bits: the kernels multiply and add in float32, and round once at the end. MLX's own
    ops may round each weight and each sum.
    """
    x, w, b = (mx.array(a).astype(dtype) for a in (random(rows, 2 * depth), random(size, depth), random(size)))
    x = x[:, ::2]
    wide = [to_numpy(a).astype(np.float64) for a in (x, w, b)]
    if quantized:
        packed = mx.quantize(w, group_size=32, bits=quantized)
        wide[1] = to_numpy(
            mx.dequantize(*(a.astype(mx.float32) if i else a for i, a in enumerate(packed)), 32, quantized)
        )
        y, truth = ops.quantized_matmul(x, *packed, group_size=32, bits=quantized), wide[0] @ wide[1].T
    else:
        y, truth = ops.linear(x, w, b), wide[0] @ wide[1].T + wide[2]
    assert y.dtype == dtype
    # Half a step of 16 bits, and what float32 may be off.
    rounded = np.abs(truth) if path == "native" else depth * (np.abs(wide[0]) @ np.abs(wide[1]).T + np.abs(wide[2]))
    assert (np.abs(to_numpy(y) - truth) <= 2.0**-bits * rounded + 4e-5).all()
    if not quantized:
        assert ops.linear(x, mx.array(to_numpy(w)), b).dtype == mx.float32  # the wider of the two


def test_float16_weights_of_every_value():
    """Every float16 there is: denormals, infinities and NaN included."""
    every = np.arange(65536, dtype=np.uint16).view(np.float16).reshape(-1, 1)
    weight = mx.concatenate([mx.array(every), mx.zeros_like(mx.array(every))], axis=1)
    for rows in (1, 9):
        x = mx.array(np.tile(np.float32([[1, 0]]), (rows, 1)))
        np.testing.assert_array_equal(np.array(ops.linear(x, weight))[-1], every[:, 0].astype(np.float32))


@pytest.mark.parametrize("bits, group", [(8, 64), (4, 64), (8, 32), (4, 128), (4, 32)])
@pytest.mark.parametrize("rows", [1, 2, 3, 7, 11, 70])
@pytest.mark.parametrize("dtype", [mx.float32, mx.float16, mx.bfloat16])
def test_quantized_matmul(bits, group, rows, dtype, factor):
    """Against PyTorch's float32 product with the weights that MLX's groups stand for."""
    x, weight = random(rows, 256), mx.array(random(37, 256)).astype(dtype)
    packed, scales, biases = mx.quantize(weight, group_size=group, bits=bits)
    q = np.array(packed).view(np.uint8).astype(np.float64)
    if bits == 4:
        q = np.stack([q % 16, q // 16], axis=-1).reshape(37, 256)
    by_group = q.reshape(37, -1, group)
    scale, bias = (np.array(a.astype(mx.float32)).astype(np.float64)[..., None] for a in (scales, biases))
    wide = torch.from_numpy((by_group * scale + bias).reshape(37, 256))
    no_worse_than_torch(
        ops.quantized_matmul(mx.array(x), packed, scales, biases, True, group, bits),
        lambda x: torch.nn.functional.linear(x, wide.to(x.dtype)), x, factor=factor,
    )  # fmt: skip
    y = ops.quantized_matmul(mx.array(x).astype(dtype), packed, scales, biases, group_size=group, bits=bits)
    assert y.dtype == dtype


def torch_lstm(gates, weight, hidden, cell):
    """torch.nn.LSTM whose input projection is the identity, one direction after the other: h, and the last cell."""
    found = []
    for n, w in enumerate(weight):
        layer = torch.nn.LSTM(4 * w.shape[1], w.shape[1], batch_first=True, bias=False, dtype=w.dtype)
        with torch.no_grad():
            layer.weight_ih_l0.copy_(torch.eye(4 * w.shape[1]))
            layer.weight_hh_l0.copy_(w)
            h, (_, c) = layer(gates[n], (hidden[n : n + 1], cell[n : n + 1]))
            found.append((h, c[0]))
    return [torch.stack(values) for values in zip(*found, strict=True)]


@pytest.mark.parametrize(
    "directions, batch, length, size",
    [
        (1, 1, 1, 1), (2, 1, 9, 16), (1, 5, 7, 5), (2, 3, 4, 37), (1, 1, 1, 128), (2, 6, 20, 100), (1, 1, 12, 512),
        (2, 70, 5, 100), (1, 40, 3, 512), (1, 300, 9, 64),
    ],
)  # fmt: skip
def test_lstm(directions, batch, length, size, factor):
    gates, weight = random(directions, batch, length, 4 * size) * 2, random(directions, 4 * size, size) / size**0.5
    weight = weight.astype(np.float32)
    zero = np.zeros((directions, batch, size), np.float32)
    ours = ops.lstm(mx.array(gates), mx.array(weight))
    no_worse_than_torch(ours, lambda *a: torch_lstm(*a)[0], gates, weight, zero, zero, factor=factor)
    state = random(directions, batch, size), random(directions, batch, size)
    hidden, cell = ops.lstm_steps(*(mx.array(a) for a in (gates, weight, *state)))
    no_worse_than_torch(hidden, lambda *a: torch_lstm(*a)[0], gates, weight, *state, factor=factor)
    no_worse_than_torch(cell, lambda *a: torch_lstm(*a)[1], gates, weight, *state, factor=factor)
    if length > 1:  # the same in two pieces, from views
        first, between = ops.lstm_steps(mx.array(gates)[:, :, :1], mx.array(weight), *map(mx.array, state))
        rest, last = ops.lstm_steps(mx.array(gates)[:, :, 1:], mx.array(weight), first[:, :, -1], between)
        close(mx.concatenate([first, rest], axis=2), np.array(hidden))
        close(last, np.array(cell))


def test_lstm_refuses_shapes_that_do_not_fit(path):
    if path == "mlx":
        pytest.skip("MLX's own ops word it differently")
    gates, weight, state = mx.zeros((1, 2, 3, 16)), mx.zeros((1, 16, 4)), mx.zeros((1, 2, 4))
    for call in (
        lambda: ops.lstm(gates, weight[:, :12]),
        lambda: ops.lstm_steps(gates, weight, state[:, :1], state),
        lambda: ops.lstm_steps(gates[:, :, :0], weight, state, state),
    ):
        with pytest.raises(ValueError, match="lstm: gates must be"):
            call()


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
        lambda x, w, b: ops.linear(x, w, b),
        lambda x, w, b: x @ w.T + b,
        random(2, 9, 8),
        random(6, 8),
        random(6),
    )
    packed = mx.quantize(mx.array(random(6, 64)), bits=8)
    same_gradients(
        lambda x: ops.quantized_matmul(x, *packed, bits=8),
        lambda x: x @ mx.dequantize(*packed, bits=8).T,
        random(3, 64),
    )
    same_gradients(
        lambda g, w: ops.lstm(g, w),
        lambda g, w: plain.lstm(g, w),
        random(2, 1, 5, 16),
        random(2, 16, 4),
    )
    for part in (0, 1):
        same_gradients(
            lambda *a, part=part: ops.lstm_steps(*a)[part],
            lambda *a, part=part: plain.lstm_steps(*a)[part],
            random(2, 1, 5, 16), random(2, 16, 4), random(2, 1, 4), random(2, 1, 4),
        )  # fmt: skip
    same_gradients(
        lambda x, w: ops.conv_transpose1d(x, w, stride=3, padding=1),
        lambda x, w: mx.conv_transpose1d(x, w, stride=3, padding=1),
        random(2, 11, 8),
        random(6, 5, 8),
    )


def test_instance_norm_sums_are_exact_over_many_steps():
    """Against float64: an error in the sums would move every step of a channel in the same direction."""
    x = (np.random.default_rng(0).standard_normal((1, 24000, 8)) * 2 + 1).astype(np.float32)
    weight = np.linspace(-2, 2, 8, dtype=np.float32)
    wide = x.astype(np.float64)
    exact = weight * (wide - wide.mean(1, keepdims=True)) / np.sqrt(wide.var(1, keepdims=True) + 1e-5) + 0.5
    ours = np.array(ops.instance_norm(mx.array(x), 1e-5, mx.array(weight), mx.full((8,), 0.5))).astype(np.float64)
    assert np.abs(ours - exact).max() < 2e-6
    slope = ((ours - 0.5) * (exact - 0.5)).sum(1) / np.square(exact - 0.5).sum(1)
    assert np.abs(slope - 1).max() < 2e-7 and np.abs((ours - exact).mean(1)).max() < 2e-7


def test_deep_products_are_as_accurate_as_pytorchs():
    """One chain of sums over a depth of 2,048 would be 5 times worse; a layer norm after it makes that 1e-5."""
    rng = np.random.default_rng(0)
    x, weight, bias = (rng.standard_normal(shape, dtype=np.float32) for shape in [(49, 2048), (768, 2048), (768,)])
    exact = x.astype(np.float64) @ weight.astype(np.float64).T + bias
    ours = np.array(ops.linear(mx.array(x), mx.array(weight), mx.array(bias)))
    theirs = torch.nn.functional.linear(*map(torch.from_numpy, (x, weight, bias))).numpy()
    assert np.square(ours - exact).sum() < 2 * np.square(theirs - exact).sum()
