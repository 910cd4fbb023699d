"""Operators and padding under patch_mlx(): the answers and gradients of MLX's own, in whatever layout arrays have."""

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from backend.kernels import CPU, random, to_numpy

from pytorch_to_mlx.backend import patch

OPERATORS = {
    "add": lambda a, b: a + b,
    "subtract": lambda a, b: a - b,
    "multiply": lambda a, b: a * b,
    "divide": lambda a, b: a / b,
}
SHAPE = (2, 70, 300)  # more than patch.LARGE numbers


def layouts() -> dict:
    """Arrays of SHAPE: dense in two orders, with gaps, from the end, and repeated."""
    rows, columns = random(*SHAPE), random(2, 300, 70)
    return {
        "rows": mx.array(rows),
        "columns": mx.array(columns).transpose(0, 2, 1),
        "gaps": mx.array(random(2, 330, 70)).transpose(0, 2, 1)[:, :, 15:-15],
        "steps": mx.array(random(2, 140, 600))[:, ::2, ::2],
        "backwards": mx.array(random(*SHAPE))[:, ::-1],
        "repeated": mx.broadcast_to(mx.array(random(2, 1, 300)), SHAPE),
    }


def others() -> dict:
    return layouts() | {
        "channels": mx.array(random(70, 1)),
        "steps of one": mx.array(random(300)),
        "each batch": mx.array(random(2, 1, 1)),
        "one number": mx.array(random(1)),
    }


@pytest.mark.parametrize("name", OPERATORS)
@pytest.mark.parametrize("right", others())
@pytest.mark.parametrize("left", layouts())
def test_operators_are_mlx_s_own(name, left, right):
    a, b, call = layouts()[left], others()[right], OPERATORS[name]
    expected = [to_numpy(call(a, b)), to_numpy(call(b, a))]
    with patch.patched_mlx():
        ours = [to_numpy(call(a, b)), to_numpy(call(b, a))]
    for one, other in zip(ours, expected, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", OPERATORS)
def test_numbers_and_other_dtypes(name):
    x, call = layouts()["gaps"], OPERATORS[name]
    operands = (2, -0.5, True, mx.arange(300), mx.array(random(300)).astype(mx.float16))
    expected = [result for y in operands for result in (call(x, y), call(y, x))]
    mx.eval(expected)
    with patch.patched_mlx():
        ours = [result for y in operands for result in (call(x, y), call(y, x))]
        mx.eval(ours)
    for one, other in zip(ours, expected, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(to_numpy(one), to_numpy(other))


@pytest.mark.parametrize("mode", ["constant", "edge"])
@pytest.mark.parametrize("layout", layouts())
def test_padding(layout, mode):
    x = layouts()[layout]
    widths = [[(0, 0), (0, 0), (5, 6)], [(0, 0), (3, 0), (0, 0)], [(0, 1), (0, 0), (0, 0)], [(1, 1)] * 3, 2, (1, 2)]
    expected = [to_numpy(mx.pad(x, width, mode=mode)) for width in widths]
    with patch.patched_mlx():
        ours = [to_numpy(mx.pad(x, width, mode=mode)) for width in widths]
        filled = to_numpy(mx.pad(x, widths[0], constant_values=0.5))
    for one, other in zip(ours, expected, strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(filled[..., :5], 0.5)


def chain(x, alpha):
    y = mx.pad(x, [(0, 0), (0, 0), (5, 5)], mode="edge")
    return nn.relu(y - 1 / alpha * mx.square(mx.sin(y * alpha)) + y / alpha)


@pytest.mark.parametrize("run", [lambda f: f, mx.compile], ids=["plain", "compiled"])
def test_gradients(run):
    x, alpha = layouts()["columns"], mx.abs(mx.array(random(70, 1))) + 0.5

    def values():
        function = run(lambda x, alpha: chain(x, alpha))
        return [function(x, alpha), *mx.grad(lambda x, a: mx.square(function(x, a)).sum(), argnums=(0, 1))(x, alpha)]

    expected = values()
    mx.eval(expected)
    with patch.patched_mlx():
        ours = values()
        mx.eval(ours)
    for one, other in zip(ours, expected, strict=True):
        np.testing.assert_allclose(to_numpy(one), to_numpy(other), rtol=2e-3, atol=2e-3)


def test_the_result_has_the_layout_of_the_array_and_its_memory_where_that_is_free():
    if CPU is None:
        pytest.skip("MLX's own results are row-major")
    with patch.patched_mlx():
        x = layouts()["columns"]
        for y in (x * 2, mx.array(random(70, 1)) + x, mx.pad(x, [(0, 0), (0, 0), (5, 5)])):
            mx.eval(y)
            assert memoryview(y).strides == (4 * 70 * y.shape[2], 4, 4 * 70)


def test_threads_change_nothing():
    if CPU is None:
        pytest.skip("MLX's own ops run on one thread")
    threads, results, arrays = CPU.threads(), [], layouts().values()
    big = mx.array(random(3, 200000)), mx.array(random(3, 1))
    try:
        for n in (1, 2, 5):
            CPU.set_threads(n)
            with patch.patched_mlx():
                results.append([to_numpy(y) for x in arrays for y in (x * x, x + big[0][0, :300])])
                results[-1].append(to_numpy(big[0] / big[1]))
    finally:
        CPU.set_threads(threads)
    for result in results[1:]:
        for one, other in zip(result, results[0], strict=True):
            np.testing.assert_array_equal(one, other)
