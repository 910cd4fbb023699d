"""Ops with a lowering stay whole, others are decomposed, and refused ops too; ops that write become ops that do not.

Right values are what PyTorch computes: the proof of the conversion compares with it.
"""

import pytest
import torch
from torch import nn
from torch.export import ExportedProgram

from pytorch_to_mlx import convert
from pytorch_to_mlx.codegen.capture.decompose import decompositions
from pytorch_to_mlx.codegen.capture.export import capture
from pytorch_to_mlx.codegen.lowering.ops import table


def test_ops_with_a_lowering_stay_whole():
    whole = {op for op, lowering in table().items() if not lowering.why_not}
    by_name = {str(op) for op in decompositions()}
    assert not whole & by_name and "aten.layer_norm.default" in whole
    everything = {str(op) for op in torch.export.default_decompositions()}
    assert by_name == everything - whole and by_name


class Writes(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.linear, self.kind = nn.Linear(4, 4), kind

    def forward(self, x):
        return self.kind(self.linear(x))


def alone(y):
    before = y.exp()
    y += 1
    y.relu_().mul_(2)
    return before + y, y


def beside_a_view(y):
    view = y[:, 0]
    y *= 2
    return view + y.sum(1)


def into_a_view(y):
    y[:, 0] += 1
    return y


def with_another_dtype(y):
    y += torch.arange(4)
    return y


@pytest.fixture
def traces(monkeypatch):
    """How often PyTorch has traced a program again."""
    calls = []
    original = ExportedProgram.run_decompositions
    monkeypatch.setattr(ExportedProgram, "run_decompositions", lambda *args: (calls.append(args), original(*args))[1])
    return calls


def test_an_op_that_writes_where_nothing_else_looks_becomes_one_that_returns(traces, tmp_path):
    ops = [node.op for node in capture(Writes(alone), (torch.randn(3, 4),)).graph.nodes]
    assert not traces
    assert {"aten.add.Tensor", "aten.relu.default", "aten.mul.Tensor"} < set(ops) and not any("_." in op for op in ops)
    convert(Writes(alone), tmp_path / "out", example_inputs=torch.randn(3, 4)).check()


@pytest.mark.parametrize("kind", [beside_a_view, into_a_view, with_another_dtype])
def test_other_writing_is_left_to_torch(traces, tmp_path, kind):
    convert(Writes(kind), tmp_path / "out", example_inputs=torch.randn(3, 4)).check()
    assert len(traces) == 1


class Differences(nn.Module):
    def forward(self, x):
        ends = x[..., :1], x[..., -1:]
        return x.diff(), x.diff(n=2, dim=0, prepend=x[:1]), x.diff(prepend=ends[0], append=ends[1]), (x > 0).diff(dim=1)


def test_differences(traces, tmp_path):
    convert(Differences(), tmp_path / "out", example_inputs=torch.randn(4, 5, 6)).check()
    assert not traces
