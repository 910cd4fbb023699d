"""What every model folder must keep, for each card, without knowing the model: its tiny() size does it all."""

import mlx.core as mx
import numpy as np
import pytest
from mlx.utils import tree_flatten

from pytorch_to_mlx import registry
from pytorch_to_mlx.errors import CheckError
from pytorch_to_mlx.weights import Rule, apply, invert, load_into, load_model, quantize, rebuild, write_folder


@pytest.fixture(params=registry.names())
def family(request):
    return request.param


def build(family):
    return registry.part(family, "model").Model(registry.part(family, "config").Config.tiny())


def flat(module) -> dict[str, mx.array]:
    return dict(tree_flatten(module.parameters()))


@pytest.fixture
def weights(family):
    """Random numbers of every parameter's shape: constants would hide a swapped axis."""
    shapes = {name: p for name, p in flat(build(family)).items()}
    return {name: mx.random.normal(p.shape).astype(p.dtype) for name, p in shapes.items()}


def needed_besides(weight_map, state) -> dict[str, mx.array]:
    """A tensor for every rule that must match but writes no weight of ours."""
    made = {}
    for rule in weight_map.rules:
        if rule.optional or rule.group:
            continue
        name = named(rule, 0)
        if rule.kind == "drop":
            made[name] = mx.array(getattr(rule, "equals", None) or 0.0)
        elif rule.kind == "tie" and name not in state:
            made[name] = state[rule.targets[0].text.replace("{}", "0").replace("*", "x")]
    return made


def named(rule: Rule, place: int) -> str:
    return rule.sources[place].text.replace("{}", "0").replace("**", "x").replace("*", "x")


def test_laws_of_the_weight_map(family, weights):
    """Forward, inverse and forward again: exact, but for folds, which are exact to 1e-6."""
    weight_map = registry.part(family, "weights").WEIGHTS
    state = invert(weight_map, weights)
    applied = apply(weight_map, {**state, **needed_besides(weight_map, state)}, family=family)
    assert applied.weights.keys() == weights.keys()
    for name, weight in applied.weights.items():
        expected = np.array(weights[name].astype(mx.float32))
        tolerance = 1e-6 if name in applied.report.folded else 0
        np.testing.assert_allclose(np.array(weight.astype(mx.float32)), expected, rtol=tolerance, err_msg=name)
    load_into(build(family), applied.weights)


def test_write_and_load(family, weights, tmp_path):
    dest = write_folder(tmp_path / "out", config={"model_type": family}, weights=weights)
    module, config = load_model(dest, lambda config: build(family))
    assert config == {"model_type": family}
    loaded = flat(module)
    assert all(mx.array_equal(loaded[name], weight) for name, weight in weights.items())


def test_quantize_and_rebuild(family, weights):
    module = load_into(build(family), weights)
    try:
        done = quantize(module, bits=8, group_size=32)
    except CheckError as error:
        assert error.what == "no layer can be quantized", error
        return
    again = load_into(rebuild(build(family), {"quantization": done.config}, flat(module)), flat(module))
    assert flat(again).keys() == flat(module).keys()


def test_cards_name_different_tensors(family):
    card = registry.card(family)
    assert card.model_types and card.checkpoints and card.fingerprint
    others = [c for c in registry.cards() if c.name != card.name]
    assert not {t for c in others for t in c.model_types} & set(card.model_types)
