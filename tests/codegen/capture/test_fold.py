"""Weights that layers compute from others are folded into one: the layer is one of mlx.nn."""

import re

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from pytorch_to_mlx import convert
from pytorch_to_mlx.codegen.capture.export import capture


class Vocoder(nn.Module):
    """Both forms of weight norm, one for the whole weight, and spectral norm; two methods with the same weights."""

    def __init__(self):
        super().__init__()
        self.first = parametrizations.weight_norm(nn.Conv1d(3, 4, 3))
        self.up = nn.utils.weight_norm(nn.ConvTranspose1d(4, 3, 4, 2))
        self.whole = parametrizations.weight_norm(nn.Linear(3, 3), dim=None)
        self.last = parametrizations.spectral_norm(nn.Linear(3, 3))

    def forward(self, x):
        return self.last(self.whole(self.up(self.first(x)).transpose(1, 2)))

    def features(self, x):
        return self.first(x) * 2


@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")
def test_normed_weights_are_folded_and_shared_by_methods(tmp_path):
    """The right weights are those that torch computes; its layers run on them at two sizes."""
    torch.manual_seed(0)
    module, x = Vocoder().eval(), torch.randn(2, 3, 9)
    result = convert(module, tmp_path / "out", methods={"forward": x, "features": x})
    result.check()
    source = (tmp_path / "out" / "model.py").read_text()
    layers = dict(re.findall(r"self\.(\w+) = nn\.(\w+)\(", source))
    assert layers == {"first": "Conv1d", "up": "ConvTranspose1d", "whole": "Linear", "last": "Linear"}
    assert not result.unused and "norm(" not in source and "first_2" not in source and "weight_2" not in source


class Kept(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(9, 6)
        self.down, self.up = nn.Parameter(torch.randn(2, 6)), nn.Parameter(torch.randn(6, 2))
        self.register_buffer("scale", torch.ones(6, 6))
        self.inner = Inner()

    def forward(self, ids):
        self.scale += 1
        return self.inner(self.table(ids), self.table.weight.t().t(), self.up @ self.down, self.scale * 2)


class Inner(nn.Module):
    def forward(self, x, table, low_rank, changing):
        linear = nn.functional.linear
        return linear(linear(linear(x, low_rank), changing), table)


def test_what_would_grow_move_or_change_is_not_folded(tmp_path):
    """Tied weights that are only turned, a product of thin matrices, and what depends on a buffer that changes."""
    example = (torch.randint(0, 9, (2, 5)),)
    assert capture(Kept(), example).folded == []
    convert(Kept(), tmp_path / "out", example_inputs=example).check()
