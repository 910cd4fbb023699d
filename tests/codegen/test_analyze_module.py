"""codegen/analyze_module.py: counts, memory and problems of small modules."""

import torch
from torch import nn

from pytorch_to_mlx.codegen.analyze_module import analyze_module
from pytorch_to_mlx.codegen.sources.module_source import ModuleSource


def test_counts_and_memory():
    result = analyze_module(
        ModuleSource(nn.Sequential(nn.Linear(8, 4), nn.ReLU(), nn.Linear(4, 2)), (torch.ones(3, 8),))
    )
    assert result.convertible and result.problems == []
    assert {use.op: use.count for use in result.ops} == {"aten.linear.default": 2, "aten.relu.default": 1}
    assert result.parameters == 8 * 4 + 4 + 4 * 2 + 2
    # The most at once: the input and the first layer's result.
    assert result.memory == {"weights": 4 * result.parameters, "values": 4 * (3 * 8 + 3 * 4)}
    assert result.dynamic == ["input[0]"] and result.inputs["input"].startswith("float32[")
    assert result.modules[1] == {"path": "0", "class": "Linear", "parameters": 36}


def test_every_op_without_a_form_is_a_problem():
    class Noise(nn.Module):
        def forward(self, x):
            return x + torch.rand_like(x) * torch.randn_like(x)

    result = analyze_module(ModuleSource(Noise(), (torch.ones(3),)))
    assert not result.convertible and len(result.problems) == 2
    assert all("test_analyze_module.py:" in problem for problem in result.problems)
    assert [bool(use.problem) for use in result.ops] == sorted((bool(use.problem) for use in result.ops), reverse=True)


def test_sizes_that_depend_on_data():
    class Chosen(nn.Module):
        def forward(self, x):
            return x[x > 0] * 2

    result = analyze_module(ModuleSource(Chosen(), (torch.tensor([1.0, -1, 2]),)))
    assert len(result.data_dependent) == 1 and "test_analyze_module.py:" in result.data_dependent[0]


def test_what_cannot_be_captured_is_a_problem():
    class Branch(nn.Module):
        def forward(self, x):
            return x + 1 if x.sum() > 0 else x - 1

    result = analyze_module(ModuleSource(Branch(), (torch.ones(3),)))
    assert not result.convertible and result.ops == [] and len(result.problems) == 1
