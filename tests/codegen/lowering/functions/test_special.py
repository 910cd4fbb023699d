"""Special functions, against torch in float64."""

import mlx.core as mx
import numpy as np
import pytest
import torch

from pytorch_to_mlx.codegen.capture.tensors import to_mlx, to_numpy
from pytorch_to_mlx.codegen.lowering.functions import special
from pytorch_to_mlx.codegen.lowering.ops.special import HELPERS

ALL, POSITIVE = torch.linspace(-6, 9, 61) + 0.01, torch.linspace(0.05, 30, 61)
RANGES = {
    "bessel_y0": POSITIVE, "bessel_y1": POSITIVE, "bessel_k0": POSITIVE, "bessel_k1": POSITIVE, "scaled_k0": POSITIVE,
    "scaled_k1": POSITIVE, "ndtri": torch.linspace(0.001, 0.999, 61),
}  # fmt: skip


@pytest.mark.parametrize("name, helper", HELPERS.items())
def test_agrees_with_torch(name, helper):
    x = RANGES.get(helper, ALL)
    function = getattr(torch.special, name.removeprefix("special_"), None) or getattr(torch, name)
    expected = function(x.double()).numpy()
    np.testing.assert_allclose(to_numpy(getattr(special, helper)(to_mlx(x))), expected, rtol=3e-5, atol=3e-6)


def test_zeta_and_polygamma():
    q = torch.linspace(0.3, 8, 30)
    expected = torch.special.zeta(torch.tensor(2.5, dtype=torch.float64), q.double())
    np.testing.assert_allclose(to_numpy(special.zeta(2.5, to_mlx(q))), expected.numpy(), rtol=1e-5)
    for order in (0, 1, 3):
        expected = torch.polygamma(order, q.double())
        np.testing.assert_allclose(
            to_numpy(special.polygamma(order, to_mlx(q))), expected.numpy(), rtol=2e-5, atol=2e-6
        )


@pytest.mark.parametrize("upper", [False, True])
def test_incomplete_gamma(upper):
    a, x = torch.meshgrid(torch.linspace(0.2, 12, 9), torch.linspace(0, 20, 11), indexing="ij")
    function = torch.special.gammaincc if upper else torch.special.gammainc
    expected = function(a.double(), x.double()).numpy()
    np.testing.assert_allclose(to_numpy(special.igamma(to_mlx(a), to_mlx(x), upper)), expected, atol=3e-6)


def test_poles_and_ends():
    inf = mx.inf
    assert special.lgamma(mx.array([0.0, -2.0, inf])).tolist() == [inf, inf, inf]
    assert special.digamma(mx.array([0.0, -0.0])).tolist() == [-inf, inf]
    assert special.ndtri(mx.array([0.0, 1.0])).tolist() == [-inf, inf]
    assert special.bessel_y0(mx.array([0.0, inf])).tolist() == [-inf, 0.0]
    assert mx.isnan(special.bessel_y1(mx.array(-1.0))).item() and mx.isnan(special.zeta(0.5, mx.array(2.0))).item()
