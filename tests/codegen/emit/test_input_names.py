"""What the inputs of a call are called: the parameters of `forward`, found by the values of the example."""

import torch
from torch import nn

from pytorch_to_mlx.codegen.capture.export import capture
from pytorch_to_mlx.codegen.capture.methods import FORWARD, Entry
from pytorch_to_mlx.codegen.emit.call_tree import call_tree, connect
from pytorch_to_mlx.codegen.emit.input_names import find_names, order_signature
from pytorch_to_mlx.codegen.emit.source_names import SourceNames


class Mix(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(4))

    def forward(self, states, gate, scale=None):
        return gate.sigmoid() * states * self.weight + scale


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.mix = Mix()

    def forward(self, x):
        a = x * 2
        b = x + 1
        return self.mix(b, scale=x, gate=a)


def test_inputs_have_the_names_of_parameters_and_their_order():
    model, x = Model().eval(), torch.randn(3, 4)
    entry = Entry(FORWARD, (x,), {}, capture(model, (x,)))
    root = call_tree(entry.captured.graph, "Model")
    connect(root, entry.captured.graph)
    mix = next(call for call in root.calls() if call.path == "mix")
    names = find_names(root, entry, model)[0]["mix", 0]
    assert sorted(names.values()) == ["gate", "scale", "states"]
    by_name = {name: node for node, name in names.items()}
    assert by_name["gate"].op == "aten.mul.Tensor" and by_name["states"].op == "aten.add.Tensor"
    assert by_name["scale"].op == "input"
    modules = dict(model.named_modules())
    order_signature(root, SourceNames(modules, {("mix", 0): names}), modules)
    assert mix.inputs == [by_name[name] for name in ("states", "gate", "scale")]


class Pair(nn.Module):
    def forward(self, x):
        size = (x * 2).abs().sum(-1)
        return x.sin() + 1, None, size


class Outer(nn.Module):
    def __init__(self):
        super().__init__()
        self.pair = Pair()

    def forward(self, x):
        wave, _, length = self.pair(x)
        return wave * length.unsqueeze(-1)


def test_outputs_have_the_order_of_the_original_and_its_names():
    model, x = Outer().eval(), torch.randn(3, 4)
    entry = Entry(FORWARD, (x,), {}, capture(model, (x,)))
    root = call_tree(entry.captured.graph, "Outer")
    connect(root, entry.captured.graph)
    pair = next(call for call in root.calls() if call.path == "pair")
    modules = dict(model.named_modules())
    names = SourceNames(modules, *find_names(root, entry, model))
    order_signature(root, names, modules)
    assert [node.op for node in pair.outputs] == ["aten.add.Tensor", "aten.sum.dim_IntList"]
    assert [names.result_place(pair, node) for node in pair.outputs] == [0, 2]
    assert [names.target_name(node, root) for node in pair.outputs] == ["wave", "length"]
