"""Orthogonal polynomials, against torch."""

import numpy as np
import pytest
import torch

from pytorch_to_mlx.codegen.capture.tensors import to_mlx, to_numpy
from pytorch_to_mlx.codegen.lowering.functions.polynomials import orthogonal
from pytorch_to_mlx.codegen.lowering.ops.special import POLYNOMIALS


@pytest.mark.parametrize("name, kind", POLYNOMIALS.items())
def test_agrees_with_torch(name, kind):
    x, degree = torch.linspace(-1, 1, 9)[:, None], torch.arange(-1.0, 7.0)
    expected = getattr(torch.special, name)(x.double(), degree.double())
    np.testing.assert_allclose(to_numpy(orthogonal(kind, to_mlx(x), to_mlx(degree))), expected, rtol=1e-4, atol=1e-5)
