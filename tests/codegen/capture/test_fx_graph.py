"""fx nodes as our nodes: arguments by name, plain dtypes, symbolic sizes, modules and lines."""

import mlx.core as mx
import pytest
import torch
from torch import nn

from pytorch_to_mlx.codegen.capture.captured import read_program
from pytorch_to_mlx.codegen.capture.export import capture
from pytorch_to_mlx.codegen.capture.fx_graph import class_of, read_graph, symbol_of
from pytorch_to_mlx.codegen.graph import Meta, Sym, Unsupported


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList([nn.Linear(4, 4)])

    def forward(self, x):
        x = self.blocks[0](x)
        y = x.to(torch.float16, copy=True).sum(dim=1, keepdim=True)
        return y.reshape(x.shape[0] * 2, -1), self.blocks[0](x)


def net_node(op, index=0):
    captured = capture(Net(), (torch.randn(2, 6, 4),))
    return [node for node in captured.graph.nodes if node.op == op][index]


def test_arguments_have_their_schema_names_and_defaults_are_left_out():
    node = net_node("aten.sum.dim_IntList")
    assert set(node.kwargs) == {"x", "dim", "keepdim"} and node.kwargs["dim"] == [1] and node.args == ()
    assert node.kwargs["x"].kwargs["dtype"] == mx.float16 and "copy" not in node.kwargs["x"].kwargs
    assert isinstance(node.meta, Meta) and node.meta.dtype_name == "float16" and node.meta.shape[1:] == (1, 4)


def test_sizes_are_symbols():
    node = net_node("aten.reshape.default")
    first, last = node.kwargs["shape"]
    assert isinstance(first, Sym) and first.hint == 4 and last == -1


def test_calls_of_modules_and_lines_of_the_source():
    first, second = net_node("aten.linear.default", 0), net_node("aten.linear.default", 1)
    assert first.module == second.module == "blocks.0"
    assert [frame.call for frame in (*first.stack[-1:], *second.stack[-1:])] == [0, 1]
    assert first.stack[-1].class_name == "torch.nn.modules.linear.Linear"
    line = Net.forward.__code__.co_firstlineno + 1
    assert first.where == f"{__file__}:{line}" and first.trace[-1].number == line


def test_the_class_of_an_exported_program_is_that_of_its_module():
    program = torch.export.export(Net(), (torch.randn(2, 6, 4),))
    assert class_of(program.module(), program.graph) == f"{Net.__module__}.Net" == class_of(Net(), None)


def test_assertions_leave_no_nodes():
    class Selecting(nn.Module):
        def forward(self, x, mask):
            count = mask.sum().item()
            torch._check(count >= 2)
            return x * count

    program = torch.export.export(Selecting(), (torch.randn(2, 3), torch.ones(3, dtype=torch.long)))
    assert any("assert" in str(node.target) for node in program.graph.nodes)
    ops = [node.op for node in read_program(program).graph.nodes]
    assert ops == ["input", "input", "aten.sum.default", "aten.item.default", "aten.mul.Tensor", "output"]


def test_other_fx_nodes_are_refused():
    traced = torch.fx.symbolic_trace(nn.Sequential(nn.ReLU()))
    with pytest.raises(Unsupported, match="fx node call_module 0"):
        read_graph(traced)


def test_plain_numbers_are_not_symbols():
    assert symbol_of(3) == 3 and symbol_of("same") == "same"
