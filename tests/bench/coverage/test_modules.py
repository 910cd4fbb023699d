"""How far a module comes: every step, and the reason where one fails."""

import sys

import torch
from torch import nn

from pytorch_to_mlx.bench.coverage.modules import ModuleResult, line_of, measure_module, not_built, randomize


class Halves(nn.Module):
    def forward(self, x):
        if x.sum() > 0:
            return x
        return -x


def batch(*shape):
    return (torch.randn(*shape),), {}


def test_a_module_that_agrees_at_two_sizes_passes():
    result = measure_module(ModuleResult("linear"), nn.Linear(4, 3), batch(2, 4), [batch(5, 4)])
    assert result.ok and not result.reason and result.other_size == "[[5, 4]]" and result.parameters == 15
    assert list(result.seconds) == ["capture", "generate", "first size", "other size"]
    assert result.as_dict()["ok"] and result.inputs == ["arg0"]


def test_every_dynamic_size_is_varied():
    """A case that varies the batch alone is not enough: the converter's own examples vary the length as well."""
    result = measure_module(ModuleResult("relu"), nn.ReLU(), batch(2, 6), [batch(5, 6)])
    assert result.ok and result.other_size.startswith("[[5, 6]]; [[") and len(result.errors) == 3


class OneLength(nn.Module):
    def forward(self, x):
        if not torch.compiler.is_exporting() and x.shape[1] != 6:
            raise ValueError("six only")
        return x * 2


def test_a_size_of_which_the_original_takes_no_other_is_named():
    result = measure_module(ModuleResult("one"), OneLength(), batch(2, 6), [batch(5, 6)])
    assert result.ok and result.not_varied == ["x[1]"] and result.other_size == "[[5, 6]]"


class WrongLength(nn.Module):
    """The source multiplies by the length, the original by 6: they differ at other lengths alone."""

    def forward(self, x):
        return x * x.shape[1] if torch.compiler.is_exporting() else x * 6


def test_a_mistake_at_one_size_alone_is_found():
    """A suite that varied the batch alone would pass it."""
    result = measure_module(ModuleResult("wrong"), WrongLength(), batch(2, 6), [batch(5, 6)])
    assert result.matched and not result.ok and result.reason.startswith("other size: relative error")


class Fixed(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Parameter(torch.randn(2, 4))

    def forward(self, x):
        return x + self.table


def test_one_size_alone_does_not_pass():
    result = measure_module(ModuleResult("fixed"), Fixed(), batch(2, 4), [])
    assert result.matched and not result.ok and result.reason == "the original takes no other size"


def test_outputs_near_zero_prove_nothing():
    module = nn.Linear(4, 3)
    nn.init.zeros_(module.weight), nn.init.constant_(module.bias, 1e-5)
    result = measure_module(ModuleResult("zero"), module, batch(2, 4), [batch(5, 4)])
    assert result.matched and result.dynamic and not result.ok and result.reason == "all outputs are smaller than 1e-3"


def test_a_module_that_is_not_captured_says_why():
    result = measure_module(ModuleResult("halves"), Halves(), batch(2, 4), [batch(5, 4)])
    assert (result.built, result.exported, result.ok) == (True, False, False)
    assert "torch.export cannot capture Halves" in result.reason


def test_constant_weights_and_statistics_are_varied():
    module = nn.Sequential(nn.BatchNorm1d(8), nn.Linear(8, 8, bias=False))
    linear = module[1].weight.clone()
    randomize(module)
    norm = module[0]
    for values in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
        assert values.std() > 0.01
    assert norm.running_var.min() > 0 and torch.equal(module[1].weight, linear)
    assert not any(p.requires_grad for p in module.parameters())


def test_reasons_name_files_as_they_are_imported():
    folder = max((path for path in sys.path if path.startswith("/") and len(path) > 1), key=len)
    assert line_of(ValueError(f"{folder}/package/file.py:3:\n  no")) == "package/file.py:3: no"
    assert not_built(ValueError("a\n b")) == "not built: ValueError: a b"
