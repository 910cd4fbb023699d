"""Every kernel against MLX's own ops over random sizes and strides: a wrong offset, or memory used twice, is a wrong
number here. How exact the kernels are is the other files' matter.
"""

from collections.abc import Callable, Iterator
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from backend.kernels import CPU, to_numpy

from pytorch_to_mlx.backend import plain

Case = Iterator[tuple[Callable[[Any], Any], Any]]  # what to call, of the kernels and of `plain`; and what was drawn


class Draw:
    """Sizes and arrays of one seed."""

    def __init__(self, seed: int):
        self.rng = np.random.default_rng(seed)

    def one_of(self, *values: Any) -> Any:
        return values[self.rng.integers(len(values))]

    def size(self, most: int) -> int:
        """Small ones as often as great ones."""
        return int(np.exp(self.rng.uniform(0, np.log(most + 1))))

    def array(self, *shape: int, scale: float = 1.0) -> mx.array:
        x = mx.array(self.rng.standard_normal(shape).astype(np.float32) * scale)
        if len(shape) < 2 or self.rng.integers(2):
            return x
        doubled, turned = mx.repeat(x, 2, axis=-2)[..., ::2, :], mx.contiguous(x.swapaxes(-1, -2)).swapaxes(-1, -2)
        return self.one_of(doubled, turned)


def attention(d: Draw) -> Case:
    B, Hkv, group, L, S, D = d.size(3), d.size(4), d.one_of(1, 2, 7), d.size(300), d.size(900), d.one_of(5, 16, 64, 80)
    q, k, v = d.array(B, Hkv * group, L, D), d.array(B, Hkv, S, D), d.array(B, Hkv, S, D)
    masks = [None, d.array(*d.one_of((L, S), (1, 1, 1, S), (B, 1, L, S))), "causal" if L <= S else None]
    mask = d.one_of(*masks)
    yield lambda o: o.attention(q, k, v, scale=D**-0.5, mask=mask), (q.shape, k.shape, getattr(mask, "shape", mask))


def conv_transpose1d(d: Draw) -> Case:
    K, stride, L, C, D, groups = d.size(20), d.size(10), d.size(300), d.size(200), d.size(200), 1
    if d.rng.integers(4) == 0:
        D = groups = C
    padding = d.one_of(0, max((K - stride) // 2, 0)) if L > 1 else 0
    x, w, b = d.array(d.size(3), L, C), d.array(D, K, C // groups), d.one_of(None, d.array(D))
    options = dict(stride=stride, padding=padding, output_padding=d.one_of(0, min(1, stride - 1)), groups=groups)
    yield lambda o: o.conv_transpose1d(x, w, b, **options), (x.shape, w.shape, options)


def convolutions(d: Draw) -> Case:
    slope, floor = d.one_of(None, 0.0, 0.2), d.one_of(-np.inf, -0.4)
    L, K, C, D = d.size(300), d.size(5), d.size(100), d.size(100)
    x, w, b = d.array(d.size(3), L + K, C), d.array(D, K, C), d.one_of(None, d.array(D))
    yield lambda o: o.conv1d(x, w, b, slope=slope, floor=floor), (x.shape, w.shape, slope, floor)
    image, filters = d.array(2, d.size(20) + K, 9 + K, C), d.array(D, K, K, C)
    yield lambda o: o.conv2d(image, filters, b, slope=slope, floor=floor), (image.shape, filters.shape, slope, floor)


def lstm(d: Draw) -> Case:
    N, B, L, D = d.size(3), d.size(200), d.size(30), d.size(200)
    gates, weight, hidden, cell = (
        d.array(N, B, L, 4 * D), d.array(N, 4 * D, D, scale=D**-0.5), d.array(N, B, D), d.array(N, B, D)
    )  # fmt: skip
    yield lambda o: o.lstm(gates, weight), gates.shape
    yield lambda o: o.lstm_steps(gates, weight, hidden, cell), gates.shape
    yield lambda o: o.lstm_steps(gates[0], weight[0], hidden[0], cell[0]), gates.shape[1:]


def linear(d: Draw) -> Case:
    rows, columns, depth, bits = d.size(300), d.size(1000), 32 * d.size(30), d.one_of(8, 4)
    x, wide, b = d.array(rows, depth), d.array(columns, depth), d.one_of(None, d.array(columns))
    odd = d.size(900)
    narrow, thin = x[:, :odd], wide[:, :odd]
    slope, floor = d.one_of(None, 0.0, 0.2), d.one_of(-np.inf, -0.4)
    yield lambda o: o.linear(narrow, thin, b, slope=slope, floor=floor), (narrow.shape, thin.shape, slope, floor)
    packed = mx.quantize(wide, group_size=32, bits=bits)
    yield lambda o: o.quantized_matmul(x, *packed, group_size=32, bits=bits), (x.shape, wide.shape, bits)


def norms(d: Draw) -> Case:
    B, L, D = d.size(3), d.size(500), d.size(2000)
    x, w, b = d.array(B, L, D), d.one_of(None, d.array(D), d.array(B, 1, D)), d.one_of(None, d.array(D))
    yield lambda o: o.layer_norm(x, w, b, 1e-5), x.shape
    yield lambda o: o.power(x[..., : D // 2 * 2]) if D > 1 else o.power(mx.concatenate([x, x], axis=-1)), x.shape
    yield lambda o: o.rms_norm(x, b, 1e-5), x.shape
    mask = d.one_of(None, d.array(D), d.array(L, 1), d.array(B, 1, D))
    yield lambda o: o.softmax(x, scale=0.5, mask=mask), (x.shape, getattr(mask, "shape", None))


def channels(d: Draw) -> Case:
    groups, B, L = d.one_of(1, 2, 8), d.size(3), 1 + d.size(4000)
    x = d.array(B, L, groups * d.size(60))
    D = x.shape[-1]
    w, b, alpha = d.array(B, 1, D), d.one_of(d.array(D), d.array(B, 1, D)), mx.abs(d.array(D)) + 0.3
    yield lambda o: o.instance_norm(x, 1e-5, w, b), x.shape
    yield lambda o: o.instance_norm_snake(x, 1e-5, w, b, alpha), x.shape
    yield lambda o: o.instance_norm_leaky_relu(x, 1e-5, w, b, 0.2), x.shape
    yield lambda o: o.group_norm(x, groups, alpha, alpha, 1e-5), (x.shape, groups)
    yield lambda o: o.snake(x, alpha), x.shape


@pytest.mark.skipif(CPU is None, reason="the kernels are not here")
@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize(
    "draw", [attention, conv_transpose1d, convolutions, lstm, linear, norms, channels], ids=lambda f: f.__name__
)
def test_same_numbers_as_mlx(draw, seed):
    for call, drawn in draw(Draw(seed)):
        ours, theirs = call(CPU), call(plain)
        assert ours is not None, drawn  # a kernel's word for "not these arguments"
        pairs = zip(ours, theirs, strict=True) if isinstance(ours, tuple) else [(ours, theirs)]
        for y, truth in ((to_numpy(a), to_numpy(b)) for a, b in pairs):
            assert y.shape == truth.shape, drawn
            limit = 1e-3 * max(np.abs(truth).max(), 1e-2)
            assert np.abs(y - truth).max() <= limit, drawn
