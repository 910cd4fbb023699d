"""Modules of one original class are instances of one generated class, and agree with PyTorch."""

import json
import re
from pathlib import Path

import mlx.core as mx
import pytest
import torch
from torch import nn

from pytorch_to_mlx import convert
from pytorch_to_mlx.codegen.proof.outputs import import_source

EXAMPLES = Path(__file__).parents[3] / "docs" / "examples"


def source_of(module, folder, *args):
    """The source of a module that agrees with PyTorch at every size tried."""
    result = convert(module.eval(), folder / "out", example_inputs=args)
    result.check()
    assert all(one["ok"] for one in result.submodules)
    return (folder / "out" / "model.py").read_text()


def classes(source):
    return re.findall(r"^class (\w+)", source, re.MULTILINE)


@pytest.mark.parametrize("name", ["t5", "whisper", "convnext", "llama", "bert", "vit"])
def test_examples_have_one_class_for_each_original_class(name):
    source = (EXAMPLES / name / "model.py").read_text(encoding="utf-8")
    originals = re.findall(r'^class \w+\(nn.Module\):\n    """(\S+)"""', source, re.MULTILINE)
    assert len(originals) == len(set(originals)) == len(classes(source))
    imports = set(re.findall(r"^(?:import|from) (\w+)", source, re.MULTILINE))
    assert imports <= {"mlx", "json", "math", "pathlib"}


class Unit(nn.Module):
    """A convolution with a stride or without, a norm or none, a shortcut of its own or none."""

    def __init__(self, dim, out, stride=1, norm=True):
        super().__init__()
        self.conv = nn.Conv1d(dim, out, 3, stride, padding=1, bias=not norm)
        self.norm = nn.BatchNorm1d(out) if norm else None
        self.shortcut = nn.Conv1d(dim, out, 1, stride) if stride > 1 or dim != out else nn.Identity()

    def forward(self, x):
        y = self.conv(x)
        if self.norm is not None:
            y = self.norm(y)
        return torch.relu(y) + self.shortcut(x)


def test_options_and_children_that_only_some_have(tmp_path):
    units = nn.Sequential(Unit(4, 8), Unit(8, 8, 2), Unit(8, 8), Unit(8, 6, norm=False))
    source = source_of(units, tmp_path, torch.randn(2, 4, 16))
    assert "Unit" in classes(source) and "Unit2" not in classes(source)
    assert "if has_norm:" in source and "if self.has_norm:" in source and "stride=stride" in source


class Attention(nn.Module):
    """Attends to itself or to other states, with a mask or without, and keeps or makes a bias."""

    def __init__(self, dim, has_bias):
        super().__init__()
        self.has_bias = has_bias
        self.q, self.k, self.v = (nn.Linear(dim, dim) for _ in range(3))
        if has_bias:
            self.bias = nn.Embedding(64, 1)

    def forward(self, states, other=None, mask=None, bias=None):
        source = states if other is None else other
        scores = self.q(states) @ self.k(source).transpose(-1, -2)
        if bias is None:
            places = torch.arange(states.shape[1])
            bias = self.bias((places[:, None] - places).abs()).squeeze(-1) if self.has_bias else torch.zeros(1)
        scores = scores + bias
        if mask is not None:
            scores = scores * mask[:, None]
        return torch.softmax(scores, -1) @ self.v(source), bias


class Layers(nn.Module):
    def __init__(self):
        super().__init__()
        self.own = nn.ModuleList([Attention(8, has_bias=i == 0) for i in range(3)])
        self.cross = Attention(8, has_bias=False)

    def forward(self, states, other, mask):
        bias = None
        for layer in self.own:
            y, bias = layer(states, mask=mask, bias=bias)
            states = states + y
        return states + self.cross(states, other)[0]


def test_arguments_that_only_some_calls_give(tmp_path):
    source = source_of(Layers(), tmp_path, torch.randn(2, 5, 8), torch.randn(2, 7, 8), torch.rand(2, 5))
    assert classes(source) == ["Attention", "Layers"]
    assert "def __call__(self, states, other=None, mask=None, bias=None):" in source
    assert re.search(r"for \w+ in self.own:", source)


class Nested(nn.Module):
    def __init__(self, depth):
        super().__init__()
        self.linear = nn.Linear(4, 4)
        self.inner = Nested(depth - 1) if depth else nn.Tanh()

    def forward(self, x):
        return self.linear(self.inner(x) + 1)


def test_a_class_inside_itself(tmp_path):
    source = source_of(Nested(2), tmp_path, torch.randn(3, 4))
    assert classes(source)[0] == "Nested"


class Switch(nn.Module):
    """Only `shift`, which is 0 or not, can be told from the constructor; `_kind` is private."""

    def __init__(self, kind, shift):
        super().__init__()
        self._kind, self.shift = kind, shift
        self.weight = nn.Parameter(torch.randn(4))

    def forward(self, x):
        if self.shift:
            x = torch.roll(x, self.shift, -1)
        return torch.sin(x) * self.weight if self._kind else torch.exp(-x.abs()) + self.weight


def test_what_nothing_tells_apart_are_two_classes(tmp_path):
    switches = nn.Sequential(Switch(0, 0), Switch(1, 0), Switch(0, 2), Switch(1, 1), Switch(1, 3))
    source = source_of(switches, tmp_path, torch.randn(3, 4))
    assert classes(source) == ["Switch", "Switch2", "Sequential"]
    assert source.count("if self.shift:") == 2 and "Switch2(shift=3" in source


class Act(nn.Module):
    def __init__(self, act):
        super().__init__()
        self.linear, self.act = nn.Linear(4, 4), act

    def forward(self, x):
        return self.act(self.linear(x)) + 1


def test_activations_are_arguments(tmp_path):
    source = source_of(nn.Sequential(Act(nn.ReLU()), Act(nn.SiLU()), Act(nn.Identity())), tmp_path, torch.randn(3, 4))
    assert classes(source) == ["Act", "Sequential"]
    assert "Act(act='ReLU'" in source.replace('"', "'") and "if self.act ==" in source


def test_sizes_of_a_model_are_those_of_its_config():
    """With another number in config.json the generated class makes another model, as the original's class does."""
    source = import_source(EXAMPLES / "llama" / "model.py")
    sizes = json.loads((EXAMPLES / "llama" / "config.json").read_text(encoding="utf-8"))["sizes"]
    assert sizes["num_hidden_layers"] == 2 and sizes["hidden_size"] == 32 and sizes["vocab_size"] == 128
    model = source.LlamaForCausalLM(**sizes | {"num_hidden_layers": 5, "intermediate_size": 96, "vocab_size": 11})
    assert len(model.model.layers) == 5 and model.lm_head.weight.shape == (11, 32)
    assert {layer.mlp.up_proj.weight.shape for layer in model.model.layers} == {(96, 32)}
    assert model(mx.array([[1, 2, 3]]))["logits"].shape == (1, 3, 11)


def test_no_size_is_a_literal_in_a_class_of_an_example():
    for name in ("t5", "bert", "llama", "whisper"):
        source = (EXAMPLES / name / "model.py").read_text(encoding="utf-8")
        assert re.findall(r"nn\.(?:Linear|Embedding|RMSNorm|LayerNorm)\(\d+", source) == [], name


class Residual(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.linear = nn.Linear(dim, dim)

    def forward(self, x):
        return x + torch.relu(self.linear(x))


class Stage(nn.Sequential):
    def forward(self, x):
        for layer in self:
            x = layer(x)
        return x


def test_numbered_children_of_other_kinds(tmp_path):
    stages = nn.Sequential(Stage(nn.Linear(8, 8)), Stage(Residual(8), Residual(8)), Stage(Residual(8)))
    source = source_of(stages, tmp_path, torch.randn(3, 8))
    assert "Stage" in classes(source) and "Stage2" not in classes(source)
    assert 'layer_0="Linear"' in source  # an argument cannot be called 0


class Branches(nn.Module):
    """A convolution, and beside it up to two others."""

    def __init__(self, across, down):
        super().__init__()
        self.main = nn.Conv2d(4, 4, 3, padding=1)
        self.across = nn.Conv2d(4, 4, (1, across), padding=(0, across // 2)) if across else None
        self.down = nn.Conv2d(4, 4, (down, 1), padding=(down // 2, 0)) if down else None

    def forward(self, x):
        y = self.main(x)
        if self.across is not None:
            y = y + self.across(x)
        return y if self.down is None else y + self.down(x)


class Branched(nn.Module):
    def __init__(self, *sizes):
        super().__init__()
        self.layers = nn.ModuleList(Branches(*size) for size in sizes)

    def forward(self, x):
        for layer in self.layers:
            x = torch.relu(layer(x))
        return x


def test_children_whose_own_children_only_some_have(tmp_path):
    stages = nn.Sequential(Branched((3, 0), (0, 5)), Branched((0, 3), (5, 3)), Branched((5, 0), (0, 3)))
    source = source_of(stages, tmp_path, torch.randn(2, 4, 9, 8))
    assert "Branches" in classes(source) and "Branches2" not in classes(source)
