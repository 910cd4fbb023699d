"""Element-wise functions that MLX lacks, against torch, on signed zeros, infinities and NaN too."""

import mlx.core as mx
import numpy as np
import pytest
import torch

from pytorch_to_mlx.codegen.capture.tensors import to_mlx, to_numpy
from pytorch_to_mlx.codegen.lowering.functions import numbers

INF, NAN = float("inf"), float("nan")
VALUES = torch.tensor([-INF, -7.5, -1.0, -1e-40, -0.0, 0.0, 1e-40, 0.3, 2.0, 7.5, INF, NAN])
X, Y = (part.flatten() for part in torch.meshgrid(VALUES, VALUES, indexing="ij"))
FINITE = X.isfinite() & Y.isfinite() & (X.abs() > 1e-30) & (Y.abs() > 1e-30)
COMPLEX = torch.tensor([0j, 3 - 4j, -1 + 0j, 2j])


def same(ours, expected):
    np.testing.assert_allclose(to_numpy(ours), expected.numpy(), rtol=1e-6)


@pytest.mark.parametrize("name", ["fmax", "fmin", "copysign", "hypot", "nextafter", "heaviside"])
def test_pairs(name):
    ours, expected = getattr(numbers, name)(to_mlx(X), to_mlx(Y)), getattr(torch, name)(X, Y)
    counts = ~X.isnan() if name == "heaviside" else torch.ones_like(X, dtype=torch.bool)
    same(to_mlx(torch.from_numpy(to_numpy(ours))[counts]), expected[counts])


def test_remainders():
    x, y = X[FINITE], Y[FINITE]
    same(numbers.fmod(to_mlx(x), to_mlx(y)), torch.fmod(x, y))
    same(numbers.floor_divide(to_mlx(x), to_mlx(y)), torch.floor_divide(x, y))
    one, tenth = mx.array(1.0), mx.array(0.1)
    assert mx.floor(one / tenth).item() == 10 and numbers.floor_divide(one, tenth).item() == 9
    x, y = torch.tensor([7, -7, 7, -7]), torch.tensor([2, 2, -2, -2])
    assert numbers.divide_to_zero(to_mlx(x), to_mlx(y)).tolist() == [3, -3, -3, 3]
    assert numbers.fmod(to_mlx(x), to_mlx(y)).tolist() == [1, -1, 1, -1]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_signbit(dtype):
    x = VALUES[:-1].to(dtype)
    assert numbers.signbit(to_mlx(x)).tolist() == x.signbit().tolist()


def test_frexp():
    x = torch.tensor([1.0, -0.75, 0.0, 3e38, 1e-40, INF])
    mantissa, exponent = numbers.frexp(to_mlx(x))
    same(mantissa, x.frexp()[0])
    assert exponent.tolist()[:-1] == x.frexp()[1].tolist()[:-1]


def test_complex_numbers():
    same(numbers.complex_sign(to_mlx(COMPLEX)), COMPLEX.sgn())
    same(numbers.complex_power(to_mlx(COMPLEX), 0), torch.ones(4, dtype=torch.complex64))
    same(numbers.complex_power(to_mlx(COMPLEX[1:]), 2.5), COMPLEX[1:] ** 2.5)
    assert numbers.complex_power(mx.array(0j), 2).item() == 0
    size, angle = torch.tensor([1.0, 2.0]), torch.tensor([0.5, -2.0])
    same(numbers.polar(to_mlx(size), to_mlx(angle)), torch.polar(size, angle))
    pairs = numbers.view_as_real(to_mlx(COMPLEX))
    same(pairs, torch.view_as_real(COMPLEX))
    same(numbers.view_as_complex(pairs), COMPLEX)


def test_xor_bits():
    x = mx.array([[5, 3, 6], [1, 1, 7]])
    assert numbers.xor_bits(x, [1], False).tolist() == [5 ^ 3 ^ 6, 7]
    assert numbers.xor_bits(x, [0, 1], True).tolist() == [[5 ^ 3 ^ 6 ^ 7]]
    assert numbers.xor_bits(mx.array(1.0), [], False).item() == 0x3FF0000000000000
