"""What torch.export would fix or refuse, and this project captures: recurrent layers, conditions on sizes as flags."""

import pytest
import torch
from torch import nn
from torch.nn.functional import scaled_dot_product_attention

from pytorch_to_mlx.codegen import convert
from pytorch_to_mlx.codegen.tracing import traceable


class Recurrent(nn.Module):
    def __init__(self, kind, **options):
        super().__init__()
        self.rnn = getattr(nn, kind)(5, 8, 2, batch_first=True, **options)

    def forward(self, x):
        return self.rnn(x)[0]


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_the_length_of_a_recurrent_layer_stays_dynamic(kind, tmp_path):
    before = {op: dict(getattr(torch.ops.aten, op).input.py_kernels) for op in ("lstm", "gru")}
    torch.manual_seed(0)
    done = convert(Recurrent(kind, bidirectional=kind == "GRU"), tmp_path / "out", (torch.randn(2, 7, 5),))
    done.check()
    assert "=9" in done.outputs[1]["size"], done.outputs
    assert before == {op: dict(getattr(torch.ops.aten, op).input.py_kernels) for op in ("lstm", "gru")}


class Causal(nn.Module):
    def forward(self, x):
        return scaled_dot_product_attention(x, x, x, is_causal=x.shape[-2] > 1)


def test_causality_that_depends_on_a_size(tmp_path):
    torch.manual_seed(0)
    done = convert(Causal(), tmp_path / "out", (torch.randn(2, 3, 7, 8),))
    done.check()
    assert scaled_dot_product_attention is nn.functional.scaled_dot_product_attention
    assert Causal.forward.__globals__["scaled_dot_product_attention"] is scaled_dot_product_attention


class Grid(nn.Module):
    def forward(self, x):
        rows, columns = torch.meshgrid(torch.linspace(-1, 1, 4), torch.linspace(-1, 1, 5), indexing="ij")
        return x * rows + columns


def test_constant_lists_are_made_once(tmp_path):
    done = convert(Grid(), tmp_path / "out", (torch.randn(2, 4, 5),))
    done.check()
    source = (tmp_path / "out" / "model.py").read_text()
    assert "meshgrid" in source.partition("def __call__")[0]


def test_constraints_between_sizes_are_not_solved():
    """sympy cannot solve what visformer's strides ask; torch wants the answer for messages alone."""
    from torch.fx.experimental.symbolic_shapes import DimConstraints

    solve = DimConstraints.solve
    with traceable(nn.Linear(2, 2)):
        assert DimConstraints.solve is not solve
    assert DimConstraints.solve is solve
