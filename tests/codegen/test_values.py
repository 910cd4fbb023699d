"""Values in which generated source differed from PyTorch: each right value is what PyTorch itself returns."""

import math

import mlx.core as mx
import numpy as np
import pytest
import torch
from torch import nn

from pytorch_to_mlx import convert
from pytorch_to_mlx.codegen.convert_module import load_generated


class Function(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


class Steps(nn.Module):
    """Returns the old state, the new one, and what is computed from both."""

    def __init__(self):
        super().__init__()
        self.register_buffer("n", torch.zeros(2))

    def forward(self, x):
        old = self.n.clone()
        self.n += x.sum()
        return old * 1, self.n * 1, x + self.n - old


def converted(module, folder, x):
    result = convert(module, folder, example_inputs=x)
    result.check()
    return load_generated(folder)


def test_a_buffer_is_read_before_and_after_it_is_written(tmp_path):
    model = converted(Steps(), tmp_path / "out", torch.ones(3, 2))
    for old, new in ((0, 6), (6, 12)):  # PyTorch: 6 ones are added at each call
        results = [np.array(array).tolist() for array in model(mx.ones([3, 2]))]
        assert results == [[old] * 2, [new] * 2, [[7.0] * 2] * 3]


@pytest.mark.parametrize("norm", [nn.utils.weight_norm, nn.utils.parametrizations.weight_norm])
def test_weight_norm_of_the_whole_weight(tmp_path, norm):
    """dim=None: one length for all of v, from torch/nn/utils/weight_norm.py."""
    with pytest.warns() if norm is nn.utils.weight_norm else pytest.MonkeyPatch.context():
        module = norm(nn.Linear(5, 4), dim=None)
    x = torch.randn(3, 5)
    ours = converted(module, tmp_path / "out", x)(mx.array(x.numpy()))
    np.testing.assert_allclose(np.array(ours), module(x).detach().numpy(), atol=1e-5)


def test_floats_divided_to_the_floor_as_torch_does(tmp_path):
    """PyTorch: inf // 2 is NaN, -3 // inf is -1."""
    x = torch.tensor([math.inf, -math.inf, 7.0, -7.0, 0.0, -0.5])
    for y in (2.0, -2.0, 0.0, math.inf, -math.inf, 0.1):
        ours = converted(Function(lambda x, y=y: x // y), tmp_path / str(y), torch.randn(4))(mx.array(x.numpy()))
        np.testing.assert_array_equal(np.array(ours), (x // y).numpy())


@pytest.mark.parametrize("name", ["cumsum", "cumprod"])
def test_running_sums_are_as_exact_as_torch_s(tmp_path, name):
    """The phase of an oscillator: at most twice PyTorch's error against float64 (it adds up in double)."""
    x = torch.rand(1, 8000, generator=torch.Generator().manual_seed(0)) * (400 / 16000 if name == "cumsum" else 0.01)
    x = x if name == "cumsum" else 1 + x
    ours = converted(Function(lambda x: getattr(torch, name)(x, 1)), tmp_path / "out", x)(mx.array(x.numpy()))
    exact = getattr(torch, name)(x.double(), 1).numpy()
    errors = [np.abs(np.asarray(y, np.float64) / exact - 1).max() for y in (getattr(torch, name)(x, 1), np.array(ours))]
    assert errors[1] <= 2 * errors[0] < 1e-6


def test_no_variable_hides_a_builtin(tmp_path):
    """The helper that the last line calls uses `sum`, `len` and `tuple`; a parameter may be called `input`."""

    class Hiding(nn.Module):
        def forward(self, input):
            sum = input + 1
            len = sum * sum
            tuple = len.std(0) + sum
            return tuple.roll(1, 0) + len + sum

    x = torch.randn(3, 4)
    ours = converted(Hiding(), tmp_path / "out", x)(input=mx.array(x.numpy()))
    np.testing.assert_allclose(np.array(ours), Hiding()(x).numpy(), atol=1e-5)
    assert "sum =" not in (tmp_path / "out" / "model.py").read_text()


SQUARE = torch.eye(4) + torch.randn(3, 4, 4, generator=torch.Generator().manual_seed(0)) / 8
SYMMETRIC = SQUARE @ SQUARE.mT
WIDE, TALL = (torch.randn(size, generator=torch.Generator().manual_seed(0)) for size in ((2, 4, 7), (3, 5, 4)))


@pytest.mark.parametrize("function, x, other", [
    (torch.linalg.cholesky, SYMMETRIC, SYMMETRIC[:2]),
    (lambda x: torch.linalg.solve(x, x.sum(-1)), SQUARE, SQUARE[:2]),
    (lambda x: torch.linalg.eigh(x)[0], SYMMETRIC, SYMMETRIC[:2]),
    (torch.linalg.pinv, TALL, WIDE),
    (torch.msort, torch.randn(4, 6), torch.tensor([[2.0], [math.nan], [1.0]])),
], ids=["cholesky", "solve", "eigh", "pinv", "msort"])  # fmt: skip
def test_ops_that_make_fx_and_torch_export_trace_differently(tmp_path, function, x, other):
    """PyTorch's values. torch.export adds the check of a matrix, and leaves sizes dynamic."""
    model = converted(Function(function), tmp_path / "out", x)
    for one in (x, other):
        np.testing.assert_allclose(np.array(model(mx.array(one.numpy()))), function(one).numpy(), atol=1e-4)
