"""Modules in 16 bits are judged by their own dtype against float64, and places of values where no two are equal."""

import pytest
import torch
from torch import nn

from pytorch_to_mlx import convert
from pytorch_to_mlx.codegen.proof.compare import agree, tolerance_of
from pytorch_to_mlx.codegen.proof.outputs import reference_outputs
from pytorch_to_mlx.errors import CheckError


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.c, self.n, self.l = nn.Conv2d(3, 8, 3), nn.GroupNorm(2, 8), nn.Linear(8, 64)

    def forward(self, x):
        return self.l(torch.relu(self.n(self.c(x))).mean((2, 3)))


class Normed(nn.Module):
    """Computes its norm in float32, as language models in 16 bits do."""

    def __init__(self):
        super().__init__()
        self.l = nn.Linear(16, 16)

    def forward(self, x):
        wide = x.float()
        return self.l((wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + 1e-6)).to(x.dtype))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("build, shape", [(Net, (2, 3, 9, 9)), (Normed, (2, 5, 16)), (lambda: nn.Linear(8, 8), (2, 8))])
def test_modules_in_16_bits_agree_with_float64(tmp_path, build, shape, dtype):
    """The reference is the module and its inputs in float64: half's and bfloat16's own rounding is no error."""
    torch.manual_seed(0)
    module = build().to(dtype)
    result = convert(module, tmp_path / "out", example_inputs=torch.randn(shape).to(dtype))
    result.check()
    assert f"PyTorch {str(dtype).removeprefix('torch.')} " in result.summary()
    assert all(one["torch_float32_error"] > 1e-5 for one in result.outputs)  # measured against float64, not itself


def test_the_arbiter_of_a_16_bit_module_computes_in_float64():
    module, x = Normed().bfloat16(), torch.randn(2, 5, 16).bfloat16()
    _, arbiter = reference_outputs(module, (x,), {})
    wide = x.double()
    normed = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + 1e-6)
    expected = normed @ module.l.weight.double().T + module.l.bias.double()
    assert arbiter is not None
    torch.testing.assert_close(arbiter[0], expected, rtol=1e-12, atol=1e-12)


def test_a_wrong_16_bit_result_still_differs():
    exact = torch.linspace(1, 2, 9, dtype=torch.float64).numpy()
    half = exact.astype("float16")
    assert agree(half, half, exact, "float16").ok
    assert not agree((exact * 1.003).astype("float16"), half, exact, "float16").ok


def test_the_row_is_that_of_most_numbers():
    assert tolerance_of(torch.ones(3), torch.ones(9).half(), torch.arange(50)) == "float16"
    assert tolerance_of(torch.ones(9), torch.ones(3).half()) == "float32" == tolerance_of()


class Top(nn.Module):
    def forward(self, x):
        return x.topk(2)[1], x.argmax(1), x.sort(1).indices


def test_places_are_compared_without_equal_values(tmp_path):
    """PyTorch does not say which of two equal values comes first."""
    for seed in range(3):
        torch.manual_seed(seed)
        result = convert(Top(), tmp_path / "out", example_inputs=torch.randn(3, 4), force=True)
        result.check()
        assert "x[1]=" in result.outputs[1]["size"]


class Bag(nn.Module):
    def __init__(self):
        super().__init__()
        self.e = nn.EmbeddingBag(10, 4, mode="max")

    def forward(self, flat, offsets):
        return self.e(flat, offsets)


def test_offsets_in_order_stay_in_order(tmp_path):
    """PyTorch takes offsets out of order without an error, and gives values that mean nothing."""
    convert(Bag(), tmp_path / "out", example_inputs=(torch.randint(0, 10, (9,)), torch.tensor([0, 4, 4]))).check()


def test_check_still_fails_for_a_module_that_differs_from_itself(tmp_path):
    class Random(nn.Module):
        calls = 0

        def forward(self, x):
            Random.calls += 1
            return x * Random.calls

    with pytest.raises(CheckError):
        convert(Random().half(), tmp_path / "out", example_inputs=torch.randn(3, 4).half()).check()
