"""Submodules that a registered MLX module stands for, called by several methods; weights that do not fit."""

import mlx.core as mx
import pytest
import torch
from mlx import nn as mlx_nn
from torch import nn

from pytorch_to_mlx.codegen.emit.generate import generate
from pytorch_to_mlx.codegen.emit.user_modules import user_layer
from pytorch_to_mlx.codegen.extensions import Replacement, class_name, forget, register_module
from pytorch_to_mlx.codegen.sources.module_source import ModuleSource
from pytorch_to_mlx.errors import FormatError


class Power(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.rand(4))

    def forward(self, x):
        return x.exp().log().exp().log() * self.weight


class MlxPower(mlx_nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = mx.zeros([4])

    def __call__(self, x):
        return x * self.weight


class Coder(nn.Module):
    def __init__(self):
        super().__init__()
        self.power = Power()

    def encode(self, x):
        return self.power(x) + 1

    def decode(self, x):
        return self.power(x) - 1


def test_two_methods_share_a_user_module():
    register_module(Power)(MlxPower)
    try:
        module, x = Coder().eval(), torch.randn(3, 4)
        methods = {name: ((x,), {}) for name in ("encode", "decode")}
        generated = generate(ModuleSource(module, methods=methods).entries(), module)
    finally:
        forget(class_name(Power))
    assert "return self.power(x=x) + 1" in generated.source and "return self.power(x=x) - 1" in generated.source
    assert list(generated.weights) == ["power.weight"] and generated.originals == ["power.weight"]


def test_every_weight_that_does_not_fit_is_listed():
    def weights(state):
        return {"weights": state["weight"]}

    with pytest.raises(FormatError) as caught:
        user_layer(Replacement(MlxPower, None, weights), "power", Power())
    assert "the weights for MlxPower do not fit" in str(caught.value)
    assert "weight: missing" in str(caught.value) and "weights: MlxPower has no such weight" in str(caught.value)
    with pytest.raises(FormatError, match=r"weight: \[3\] instead of \[4\]"):
        user_layer(Replacement(MlxPower, None, lambda state: {"weight": state["weight"][:3]}), "power", Power())


def test_a_user_layer_has_the_weights_of_the_original():
    original = Power()
    layer = user_layer(Replacement(MlxPower, None, None), "power", original)
    assert layer.class_name == "MlxPower" and layer.user_module.originals == ["power.weight"]
    assert layer.user_module.weights["weight"].tolist() == original.weight.tolist()
