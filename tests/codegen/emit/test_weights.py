"""Weights in MLX's layout under the names of the generated source."""

import mlx.core as mx
import numpy as np
import pytest
import torch
from mlx import nn

from pytorch_to_mlx.codegen.emit.layers import Layer, UserModule
from pytorch_to_mlx.codegen.emit.weights import Weights, reload
from pytorch_to_mlx.codegen.extensions import Replacement
from pytorch_to_mlx.codegen.graph import Meta
from pytorch_to_mlx.codegen.paths import module_lists


def pair(tensor):
    return tensor, Meta(tuple(tensor.shape), "float32")


def test_layers_get_their_layout_and_names_are_safe():
    kernel, scale = torch.randn(6, 4, 3), torch.randn(4)
    layers = {"conv": Layer("Conv1d", (4, 6, 3), layouts={"weight": (0, 2, 1)})}
    weights = Weights({"conv.weight": pair(kernel), "_scale": pair(scale)}, layers)
    assert list(weights) == ["conv.weight", "scale_"] and len(weights) == 2
    assert weights.renamed == {"_scale": "scale_"}
    np.testing.assert_array_equal(np.array(weights["conv.weight"]), kernel.permute(0, 2, 1).numpy())
    np.testing.assert_array_equal(np.array(weights["scale_"]), scale.numpy())


def test_numbered_children_of_a_module_with_code():
    with module_lists(frozenset({"stack"})):
        weights = Weights({"stack.0.weight": pair(torch.ones(2)), "list.0.weight": pair(torch.ones(2))}, {})
    assert list(weights) == ["list.0.weight", "stack.layers.0.weight"]
    assert weights.renamed == {"stack.0.weight": "stack.layers.0.weight"}


def test_arrays_of_a_user_module_stay_as_they_are():
    user_module = UserModule(Replacement(nn.Linear, None, None), {"weight": mx.arange(4)}, ["own.weight"])
    weights = Weights({}, {"own": Layer("Linear", user_module=user_module)})
    assert list(weights) == ["own.weight"] and weights["own.weight"].tolist() == [0, 1, 2, 3]


def test_reload_takes_what_the_folder_has(tmp_path):
    model = nn.Linear(2, 1, bias=False)
    mx.save_safetensors(str(tmp_path / "model.safetensors"), {"weight": mx.array([[3.0, 4.0]])})
    reload(model, tmp_path)
    assert model.weight.tolist() == [[3.0, 4.0]]
    mx.save_safetensors(str(tmp_path / "model.safetensors"), {"bias": mx.array([3.0])})
    with pytest.raises(ValueError, match="bias"):
        reload(model, tmp_path)


def test_reload_of_a_submodule_leaves_the_others(tmp_path):
    model = nn.Sequential(nn.Linear(2, 1, bias=False), nn.Linear(1, 2, bias=False))
    weights = {f"layers.{i}.weight": mx.full(layer.weight.shape, i + 3.0) for i, layer in enumerate(model.layers)}
    mx.save_safetensors(str(tmp_path / "model.safetensors"), weights)
    first = model.layers[0].weight
    reload(model, tmp_path, "layers.1")
    assert model.layers[0].weight is first and model.layers[1].weight.tolist() == [[4.0], [4.0]]
