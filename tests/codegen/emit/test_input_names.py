"""What the inputs of a call are called: the parameters of `forward`, found by the values of the example."""

import torch
from torch import nn

from pytorch_to_mlx.codegen.capture.export import capture
from pytorch_to_mlx.codegen.capture.methods import FORWARD, Entry
from pytorch_to_mlx.codegen.emit.call_tree import call_tree, connect
from pytorch_to_mlx.codegen.emit.input_names import find_input_names, order_inputs
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
    names = find_input_names(root, entry, model)["mix", 0]
    assert sorted(names.values()) == ["gate", "scale", "states"]
    by_name = {name: node for node, name in names.items()}
    assert by_name["gate"].op == "aten.mul.Tensor" and by_name["states"].op == "aten.add.Tensor"
    assert by_name["scale"].op == "input"
    modules = dict(model.named_modules())
    order_inputs(root, SourceNames(modules, {("mix", 0): names}), modules)
    assert mix.inputs == [by_name[name] for name in ("states", "gate", "scale")]
