"""Sizes that depend on data: read in one submodule, and used in another."""

import torch
from torch import nn

from pytorch_to_mlx.codegen import convert

EXPERTS = 3


class Router(nn.Module):
    """Which expert each row goes to: the rows in that order, and how many each expert gets."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(8, EXPERTS)

    def forward(self, x):
        chosen = self.layer(x).argmax(-1)
        counts = nn.functional.one_hot(chosen, EXPERTS).sum(0).tolist()
        return chosen.argsort(stable=True), counts


class Experts(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(EXPERTS, 8, 8))

    def forward(self, x, counts):
        parts = x.split(counts, dim=0)
        return torch.cat([nn.functional.linear(part, self.weight[i]) for i, part in enumerate(parts)])


class Mixture(nn.Module):
    def __init__(self):
        super().__init__()
        self.router = Router()
        self.inner = Experts()
        self.outer = Experts()

    def forward(self, x):
        order, counts = self.router(x)
        y = self.outer(self.inner(x[order], counts).relu(), counts)
        return torch.zeros_like(x).index_add(0, order, y)


def test_sizes_that_one_submodule_reads_and_others_use(tmp_path):
    torch.manual_seed(0)
    done = convert(nn.Sequential(Mixture(), Mixture()), tmp_path / "out", (torch.randn(20, 8),))
    done.check()
    assert "=2" in done.outputs[1]["size"], done.outputs
    source = (tmp_path / "out" / "model.py").read_text()
    assert "order, size, size_2, size_3 = self.router(x)" in source
    assert "def __call__(self, x, size, size_2)" in source
    inner = {f"{mixture}.{part}" for mixture in (0, 1) for part in ("inner", "outer")}
    assert inner <= {one["path"] for one in done.submodules}, "they are given the sizes that PyTorch read"
