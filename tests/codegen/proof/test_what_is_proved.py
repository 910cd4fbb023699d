"""A proof says what it proves: zeros, columns of different scale, lengths that were not tried, integers made real."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from pytorch_to_mlx import convert
from pytorch_to_mlx.codegen.proof.compare import agree
from pytorch_to_mlx.codegen.proof.outputs import reference_outputs
from pytorch_to_mlx.codegen.proof.zeros import random_zeros


def zero_head():
    module = nn.Sequential(nn.Linear(8, 8), nn.GELU(), nn.Linear(8, 4))
    nn.init.zeros_(module[2].weight)
    nn.init.zeros_(module[2].bias)
    return module


def test_all_zero_outputs_are_proved_on_random_weights(tmp_path):
    """Layers that start at zero, as those of diffusion models: any wrong source would agree on zeros."""
    module = zero_head()
    result = convert(module, tmp_path / "out", example_inputs=torch.randn(2, 8))
    result.check()
    captured, *_, random = result.outputs
    assert captured["zero"] and "zero" not in random and random["scale"] > 0.1
    assert random["size"] == "as captured, zero weights made random"
    assert "as captured: error 0.0e+00 (PyTorch float32 0.0e+00), all zero in PyTorch" in result.summary()
    assert not module[2].weight.any() and "zero weights made random" in (tmp_path / "out" / "report.md").read_text()


def test_zeros_come_back_after_an_error():
    module = zero_head()
    with pytest.raises(KeyError), random_zeros(module):
        assert module[2].weight.all()
        raise KeyError
    assert not module[2].weight.any()


@pytest.mark.parametrize("axis", [1, -1])
def test_small_columns_are_judged_by_themselves(axis):
    """A detector's [boxes in pixels | probabilities]: 3e-3 is 5e-6 of a box, and much too far off for a probability."""
    boxes, scores = np.full((2, 4, 7), 640.0, np.float32), np.full((2, 3, 7), 0.5, np.float32)
    right = np.concatenate([boxes, scores], 1)
    wrong = right.copy()
    wrong[:, 5] += 3e-3
    near = right + np.float32(1e-7) * right
    if axis == -1:
        right, wrong, near = (x.swapaxes(1, 2) for x in (right, wrong, near))
    assert agree(near, right, right.astype(np.float64)).ok
    agreement = agree(wrong, right, right.astype(np.float64))
    assert not agreement.ok and "in place 5 of axis" in agreement.why and "up to 0.5 beside 640" in agreement.why
    noisy = right + 2e-3 * (right < 1)  # PyTorch's own error is as large
    assert agree(wrong.astype(np.float32), noisy.astype(np.float32), right.astype(np.float64)).ok


def test_small_columns_whose_terms_cancelled():
    """A matrix product adds terms of 0.3; what is left of 0.002 is off by one rounding of 0.3, which is 2^-25."""
    right = np.full((2, 8), 0.3, np.float32)
    right[:, 5] = 0.002
    rounded, wrong = right.copy(), right.copy()
    rounded[:, 5] += 2.0**-25
    wrong[:, 5] += 1e-6
    assert agree(rounded, right, right.astype(np.float64)).ok
    assert not agree(wrong, right, right.astype(np.float64)).ok


def test_integers_become_float64_in_the_arbiter():
    """The right values are numpy's in float64; with float32 defaults PyTorch's own error would count as less."""
    t = torch.tensor([3, 500, 999])

    class Embedding(nn.Module):
        def forward(self, t):
            return torch.sin(t[:, None].float() * torch.exp(torch.arange(16) * -(math.log(10000) / 15)))

    _, arbiter = reference_outputs(Embedding(), (t,), {})
    assert arbiter is not None
    right = np.sin(t.numpy()[:, None] * np.exp(np.arange(16) * -(math.log(10000) / 15)))
    np.testing.assert_allclose(arbiter[0].numpy(), right, atol=1e-12)
    assert torch.get_default_dtype() == torch.float32


class Picky(nn.Module):
    """Takes any batch, and lengths that nothing but the example's run."""

    def forward(self, x):
        if not torch.compiler.is_exporting() and x.shape[1] != 6:
            raise ValueError("six only")
        return x * 2


def test_lengths_that_were_not_tried_are_named(tmp_path):
    result = convert(Picky(), tmp_path / "out", example_inputs=torch.randn(2, 6))
    result.check()
    assert result.varied["x[0]"][0] == 2 and len(result.varied["x[0]"]) > 1 and result.varied["x[1]"] == [6]
    assert "not tried at another length: x[1]" in result.summary()
    report = (tmp_path / "out" / "report.md").read_text()
    assert "| `x[1]` | 6 only |" in report and "| `x[0]` | 2, 3 |" in report
    readme = (tmp_path / "out" / "README.md").read_text()
    assert "pytorch_to_mlx.backend.patch_mlx()" in readme and "float32 | [x[0], x[1]]" in readme
