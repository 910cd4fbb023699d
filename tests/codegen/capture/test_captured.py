"""An exported program as our graph: names of weights, constants, changed buffers, outputs."""

import mlx.core as mx
import torch
from torch import nn

from pytorch_to_mlx.codegen.capture.captured import tied_names
from pytorch_to_mlx.codegen.capture.export import capture


class Tied(nn.Module):
    """torch.export reads a tied weight under its last name, that of the projection."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(9, 4)
        self.output = nn.Linear(4, 9, bias=False)
        self.output.weight = self.embedding.weight

    def forward(self, tokens):
        return self.output(self.embedding(tokens))


def test_a_tied_weight_has_the_name_of_its_embedding():
    captured = capture(Tied(), (torch.zeros(2, 3, dtype=torch.long),))
    assert list(captured.weights) == ["embedding.weight"]
    (linear,) = (node for node in captured.graph.nodes if node.op == "aten.linear.default")
    assert linear.kwargs["weight"].name == "p_output_weight" and linear.kwargs["weight"].args == ("embedding.weight",)
    names = ["embedding.weight", "output.weight"]
    assert tied_names(captured.program) == dict.fromkeys(names, names)


class Tables(nn.Module):
    def forward(self, x):
        return x * torch.tensor([1.0, 2.0, 3.0]) + torch.tensor([[float(i)] for i in range(17)])


def test_small_tensors_are_constants_and_large_ones_weights_of_their_user():
    captured = capture(nn.Sequential(Tables()), (torch.randn(17, 3),))
    (constant,) = (node.args[0] for node in captured.graph.nodes if node.op == "constant")
    assert mx.array_equal(constant, mx.array([1.0, 2.0, 3.0]))
    ((name, table),) = captured.weights.items()
    assert name.startswith("0.") and table.shape == (17, 1)


def test_changes_of_buffers_are_not_outputs():
    class Counter(nn.Module):
        def __init__(self):
            super().__init__()
            self.total = nn.Buffer(torch.zeros(3))

        def forward(self, x, text="unused"):
            self.total.add_(x.sum(0))
            return {"y": x + self.total}

    captured = capture(Counter(), (torch.randn(2, 3),), {"text": "other"})
    assert list(captured.updates) == ["total"] and len(captured.graph.output.args[0]) == 1
    assert captured.updates["total"].op == "aten.add.Tensor"
    assert captured.inputs == [node.name for node in captured.graph.inputs()] and len(captured.inputs) == 1
    assert captured.in_spec.num_leaves == 2 and captured.out_spec.num_leaves == 1
