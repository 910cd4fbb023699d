"""Quantized layers: made through MLX, written as mlx-lm writes them, rebuilt, undone; NaN refused."""

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from mlx.utils import tree_flatten

from pytorch_to_mlx.errors import CheckError, FormatError, UsageError
from pytorch_to_mlx.nn.linear import activation_bits
from pytorch_to_mlx.weights import dequantize, load_into, quantize, rebuild


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(10, 128)
        self.layers = [nn.Linear(128, 64), nn.Linear(64, 48)]
        self.odd = nn.Linear(48, 5)
        self.norm = nn.LayerNorm(5)

    def __call__(self, ids):
        x = self.embed(ids)
        for layer in self.layers:
            x = layer(x)
        return self.norm(self.odd(x))


def flat(model):
    return dict(tree_flatten(model.parameters()))


IDS = mx.array([[1, 2, 9]])


@pytest.mark.parametrize(("bits", "bound"), [(8, 0.02), (4, 0.4)])
@pytest.mark.parametrize("group_size", [32, 64])
def test_round_trip(bits, bound, group_size):
    model = Model()
    before, plain = model(IDS), flat(model)
    result = quantize(model, bits=bits, group_size=group_size)
    assert result.config == {"bits": bits, "group_size": group_size, "mode": "affine"}
    assert sorted(result.layers) == ["embed", "layers.0", "layers.1"]
    assert result.skipped == {"odd": f"rows of 48 do not divide into groups of {group_size}"}
    after = model(IDS)
    assert 0 < mx.abs(after - before).max().item() < bound
    config = {"model_type": "x", "quantization": result.config}
    again = load_into(rebuild(Model(), config, flat(model)), flat(model))
    assert mx.array_equal(again(IDS), after)
    plain_config, weights = dequantize(config, flat(model))
    assert plain_config == {"model_type": "x"} and weights.keys() == plain.keys()
    near = load_into(Model(), weights)(IDS)
    np.testing.assert_allclose(np.array(near), np.array(after), atol=1e-4)


def test_rounded_activations_are_recorded_and_rebuilt():
    """Layers of 8 bits round what they read, after loading as before; others do not."""
    model = Model()
    sizes = {"layers.1": {"bits": 4, "group_size": 64}}
    result = quantize(model, predicate=lambda path, _: sizes.get(path, True), activations=True)
    assert result.config["activation_bits"] == 8 and result.config["bits"] == 8
    config = {"quantization": result.config}
    again = load_into(rebuild(Model(), config, flat(model)), flat(model))
    for module in (model, again):
        assert activation_bits(module.embed) == activation_bits(module.layers[0]) == 8
        assert activation_bits(module.layers[1]) is None
    assert "quantization" not in dequantize(config, flat(model))[0]
    exact = rebuild(Model(), {"quantization": {"bits": 8, "group_size": 64, "layers.1": {"bits": 4}}}, flat(model))
    assert activation_bits(exact.embed) is None


def test_each_layer_its_own_bits():
    model = Model()
    sizes = {"layers.0": {"bits": 4}, "layers.1": {"bits": 8, "group_size": 32}, "embed": False}
    result = quantize(model, bits=8, group_size=64, predicate=lambda path, layer: sizes.get(path, True))
    assert result.config == {
        "bits": 8,
        "group_size": 64,
        "mode": "affine",
        "layers.0": {"bits": 4, "group_size": 64, "mode": "affine"},
        "layers.1": {"bits": 8, "group_size": 32, "mode": "affine"},
    }
    assert result.skipped["embed"] == "left by the model's predicate"
    again = load_into(rebuild(Model(), {"quantization": result.config}, flat(model)), flat(model))
    assert mx.array_equal(again(IDS), model(IDS))
    assert dequantize({"quantization": result.config}, flat(model))[1]["layers.0.weight"].shape == (64, 128)


def test_the_predicate_decides_as_in_mlx_lm():
    assert "embed" not in quantize(Model(), predicate=lambda path, layer: path != "embed").layers


@pytest.mark.parametrize("sizes", [{"bits": 7}, {"bits": 0}, {"group_size": 48}, {"bits": True}, {"bits": "4"}])
def test_sizes_that_mlx_does_not_have(sizes):
    with pytest.raises(UsageError):
        quantize(Model(), **sizes)


def test_nothing_to_quantize():
    with pytest.raises(CheckError, match="no layer can be quantized"):
        quantize(nn.Linear(48, 5))


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_nan_and_inf_are_not_quantized(value):
    """Fault 93."""
    model = Model()
    model.layers[0].weight[3, 70] = value
    with pytest.raises(CheckError, match=r"layers.0.weight: 1 of 8192"):
        quantize(model)


def test_group_wider_than_float32():
    """Fault 93."""
    model = Model()
    model.layers[0].weight[0, :2] = mx.array([-3e38, 3e38])
    with pytest.raises(CheckError, match=r"1 layer quantizes to NaN or Inf(.|\n)*layers\.0"):
        quantize(model)


@pytest.mark.parametrize(
    "entry",
    [
        None,
        [],
        {},
        {"bits": 4},
        {"bits": 5.5, "group_size": 64},
        {"bits": 8, "group_size": 0},
        {"bits": 8, "group_size": 64, "mode": "mxfp4"},
        {"bits": 8, "group_size": 64, "activation_bits": 4},
        {"bits": 8, "group_size": 64, "activation_bits": True},
        {"bits": 8, "group_size": 64, "surprise": 1},
        {"bits": 8, "group_size": 64, "odd": {"bits": 4}},
        {"bits": 8, "group_size": 64, "layers.0": {"bits": 99}},
    ],
)
def test_malformed_quantization_in_config(entry):
    model = Model()
    quantize(model)
    with pytest.raises(FormatError):
        rebuild(Model(), {"quantization": entry}, flat(model))


def test_config_that_contradicts_the_quantized_weights():
    model = Model()
    quantize(model, bits=8)
    config = {"quantization": {"bits": 4, "group_size": 64}}
    with pytest.raises(FormatError, match=r"different: embed.weight"):
        load_into(rebuild(Model(), config, flat(model)), flat(model))
    with pytest.raises(FormatError, match="is not quantized to 4 bits"):
        dequantize(config, flat(model))
    with pytest.raises(FormatError, match="1 quantized layer is not in the model"):
        rebuild(Model(), config, flat(model) | {"other.scales": mx.zeros(2)})
