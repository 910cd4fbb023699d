"""Weights go into a module strictly, and a model computes in the dtype that its device is fast in."""

import mlx.core as mx
import mlx.nn as nn
import pytest
from mlx.utils import tree_flatten

from pytorch_to_mlx.backend import dtype as dtype_policy
from pytorch_to_mlx.errors import CheckError, FormatError
from pytorch_to_mlx.weights import LINEAR_T, WeightMap, load_into, load_model, quantize, rename, write_folder
from pytorch_to_mlx.weights import load as load_module


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.proj, self.norm = nn.Embedding(7, 64), nn.Linear(64, 3), nn.LayerNorm(3)


def flat(module) -> dict[str, mx.array]:
    return dict(tree_flatten(module.parameters()))


def random_weights(dtype=mx.float32) -> dict[str, mx.array]:
    return {name: mx.random.normal(array.shape).astype(dtype) for name, array in flat(Model()).items()}


@pytest.fixture(params=[True, False], ids=["cpu", "gpu"])
def on_cpu(request, monkeypatch):
    """Whether the device is said to be a CPU; what is computed does not depend on it."""
    monkeypatch.setattr(load_module, "on_cpu", lambda: request.param)
    monkeypatch.setattr(dtype_policy, "on_cpu", lambda: request.param)
    return request.param


def test_module_has_exactly_these_weights():
    weights = random_weights()
    module = load_into(Model(), weights)
    assert flat(module).keys() == weights.keys()
    assert all(mx.array_equal(array, weights[name]) for name, array in flat(module).items())


def test_every_difference_is_listed():
    weights = random_weights() | {"nrom.bias": mx.zeros(3), "proj.weight": mx.zeros((64, 3))}
    weights["proj.bias"] = mx.zeros(3, mx.int32)
    del weights["embed.weight"]
    with pytest.raises(FormatError, match="4 of 6 differ") as caught:
        load_into(Model(), weights)
    assert caught.value.details == (
        "missing: embed.weight   the model has float32 [7, 64]",
        "unexpected: nrom.bias   float32 [3]",
        "different: proj.bias   the model has float32 [3], the weights int32 [3]",
        "different: proj.weight   the model has float32 [3, 64], the weights float32 [64, 3]",
    )


def test_message_shows_ten_differences():
    """Fault 49."""
    model = nn.Sequential(*[nn.Linear(2, 2) for _ in range(12)])
    weights = {f"layers.{i}.{p}": mx.zeros(s) for i in range(10) for p, s in (("weight", (2, 3)), ("bias", (2,)))}
    with pytest.raises(FormatError, match="14 of 24 differ") as caught:
        load_into(model, weights)
    lines = str(caught.value).splitlines()
    assert len(lines) == 12 and lines[-1].strip() == "… and 4 more"


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_nan_and_inf_are_refused_unless_allowed(value):
    weights = random_weights()
    weights["norm.bias"] = mx.array([0.0, value, 1.0])
    with pytest.raises(CheckError, match=r"1 weight holds NaN or Inf(.|\n)*norm\.bias: 1 of 3"):
        load_into(Model(), weights)
    assert load_into(Model(), weights, allow_nonfinite=True).norm.bias.shape == (3,)


def test_checkpoint_goes_through_the_weight_map(tmp_path):
    weights = random_weights()
    stored = {f"model.{name}": array for name, array in weights.items()}
    stored["model.proj.weight"] = weights["proj.weight"].T
    mx.save_safetensors(str(tmp_path / "model.safetensors"), stored)
    rules = WeightMap(
        rename("model.embed.weight", "embed.weight"),
        rename("model.norm.*", "norm.*"),
        rename("model.proj.*", "proj.*", LINEAR_T),
    )
    module, config = load_model(tmp_path / "model.safetensors", lambda config: Model(), weight_map=rules)
    assert config == {}
    assert all(mx.array_equal(array, weights[name]) for name, array in flat(module).items())


def test_converted_folder_needs_no_weight_map(tmp_path):
    weights = random_weights()
    folder = write_folder(tmp_path / "out", config={"model_type": "toy", "width": 64}, weights=weights)
    rules = WeightMap(rename("original.**", "**"))  # fits nothing here
    for weight_map in (None, rules):
        module, config = load_model(folder, lambda config: Model(), weight_map=weight_map)
        assert config == {"model_type": "toy", "width": 64}
        assert all(mx.array_equal(array, weights[name]) for name, array in flat(module).items())


@pytest.mark.parametrize("stored", [mx.float16, mx.bfloat16])
def test_half_precision_is_computed_in_float32_on_a_cpu(tmp_path, on_cpu, stored):
    weights = random_weights(stored)
    folder = write_folder(tmp_path / "out", config={"model_type": "toy"}, weights=weights)
    module, _ = load_model(folder, lambda config: Model())
    for name, array in flat(module).items():
        assert array.dtype == (mx.float32 if on_cpu else stored)
        assert mx.array_equal(array, weights[name].astype(array.dtype))


@pytest.mark.parametrize("dequantize", [None, True, False])
def test_quantized_layers_are_unpacked_on_a_cpu_or_on_request(tmp_path, on_cpu, dequantize):
    module = load_into(Model(), random_weights())
    config = {"model_type": "toy", "quantization": quantize(module, bits=8).config}
    folder = write_folder(tmp_path / "out", config=config, weights=flat(module))
    loaded, loaded_config = load_model(folder, lambda config: Model(), dequantize=dequantize)
    is_unpacked = dequantize if dequantize is not None else on_cpu
    assert isinstance(loaded.proj, nn.Linear if is_unpacked else nn.QuantizedLinear)
    assert ("quantization" in loaded_config) == (not is_unpacked)
    x = mx.random.normal((2, 64))
    assert mx.allclose(loaded.proj(x), module.proj(x), atol=1e-4)
