"""What every family gets tested for free, once its folder has a card.

A family's tests/models/test_<name>.py brings `tiny_inputs(config, batch=1)`: keyword arguments for one call of
`Model(Config.tiny())`. A family that takes no batches says why in `NO_BATCH`.
"""

import dataclasses
import importlib.util
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest
from command import assert_quick_help
from mlx.utils import tree_flatten

from pytorch_to_mlx import registry
from pytorch_to_mlx.cli import app, verbs
from pytorch_to_mlx.taps import record_taps
from pytorch_to_mlx.weights import apply, invert, load_into, load_model, quantize, write_folder

FAMILIES = registry.names()
VERBS = [(name, verb) for name in FAMILIES for verb in app.family_verbs(registry.card(name))]


@pytest.fixture(params=FAMILIES)
def family(request):
    return request.param


def tests_of(family: str):
    path = Path(__file__).parent / "models" / f"test_{family.replace('-', '_')}.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def build(family: str):
    config = registry.part(family, "config").Config.tiny()
    mx.random.seed(0)
    model = registry.part(family, "model").Model(config)
    mx.eval(model.parameters())
    return config, model


def run(family: str, model, config, **options) -> dict[str, np.ndarray]:
    """The outputs of one call by name, as float32."""
    mx.random.seed(1)
    result = model(**tests_of(family).tiny_inputs(config, **options))
    return {name or "output": np.array(value.astype(mx.float32)) for name, value in tree_flatten(result)}


def parameters(model) -> dict[str, mx.array]:
    return dict(tree_flatten(model.parameters()))


def test_tiny_is_tiny_and_runs(family):
    config, model = build(family)
    assert sum(p.size for p in parameters(model).values()) < 5_000_000
    for name, value in run(family, model, config).items():
        assert value.size and np.isfinite(value).all(), name


def test_every_tap_of_the_card_is_met(family):
    config, model = build(family)
    with record_taps() as record:
        run(family, model, config)
    missing = {tap.name for tap in registry.card(family).taps} - record.keys()
    assert not missing, f"no such tap in the model: {sorted(missing)}"


def test_config_is_read_back(family):
    config = registry.part(family, "config").Config.tiny()
    assert type(config).from_dict(dataclasses.asdict(config)) == config


def test_weight_map_and_its_inverse(family):
    """forward(inverse(w)) is w bit for bit, or to 1e-6 where a fold computes; and the result loads strictly."""
    weight_map = registry.part(family, "weights").WEIGHTS
    _, model = build(family)
    before = parameters(model)
    there = invert(weight_map, before)
    required_drops = [rule for rule in weight_map.rules if rule.kind == "drop" and not rule.optional]
    there |= {
        rule.sources[0].text.replace("{}", "0").replace("*", "x"): mx.full((1,), getattr(rule, "equals", None) or 0.0)
        for rule in required_drops
    }
    back = apply(weight_map, there)
    folded = back.report.folded
    assert back.weights.keys() == before.keys()
    for name, value in back.weights.items():
        a, b = np.array(value), np.array(before[name])
        assert np.allclose(a, b, rtol=1e-6, atol=1e-6) if name in folded else np.array_equal(a, b), name
    load_into(build(family)[1], back.weights)


def test_saved_and_loaded_gives_the_same_bits(family, tmp_path):
    config, model = build(family)
    named = {"model_type": registry.card(family).model_types[0]} if registry.card(family).model_types else {}
    write_folder(tmp_path / "m", config={**dataclasses.asdict(config), **named}, weights=parameters(model))
    module = registry.part(family, "model")
    loaded, _ = load_model(tmp_path / "m", lambda data: module.Model(type(config).from_dict(data)))
    ours, theirs = run(family, model, config), run(family, loaded, config)
    assert ours.keys() == theirs.keys() and all(np.array_equal(ours[k], theirs[k]) for k in ours)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_runs(family, dtype):
    config, model = build(family)
    full = run(family, model, config)
    model.set_dtype(getattr(mx, dtype))
    for name, value in run(family, model, config).items():
        assert value.size and np.isfinite(value).all(), name
        assert value.ndim == full[name].ndim, name


def test_quantized_runs(family):
    config, model = build(family)
    done = quantize(model, bits=8, group_size=32)
    assert done.layers
    for name, value in run(family, model, config).items():
        assert value.size and np.isfinite(value).all(), name


def test_batch_equals_single(family):
    tests = tests_of(family)
    if hasattr(tests, "NO_BATCH"):
        assert len(tests.NO_BATCH) > 20, "say why"
        return
    config, model = build(family)
    single, both = run(family, model, config), run(family, model, config, batch=2)
    for name, value in both.items():
        np.testing.assert_allclose(value[:1], single[name], rtol=1e-4, atol=1e-5, err_msg=name)


def test_card_says_enough(family):
    card = registry.card(family)
    assert card.checkpoints and card.fingerprint and card.taps and card.summary.endswith(".")
    for published in card.checkpoints:
        assert published.licence, f"{published.hub_id} lacks a licence"


@pytest.mark.parametrize(("family", "verb"), VERBS, ids=[f"{f} {v}" for f, v in VERBS])
def test_verbs_explain_themselves(family, verb):
    """A description, an example of this command, and help for every option."""
    read = verbs.read(verb, app.family_verbs(registry.card(family))[verb])
    assert read.description
    assert any(line.startswith(f"pytorch-to-mlx {family} {verb}") for line in read.examples), read.examples
    assert not (silent := [p.name for p in read.parameters if not p.help]), f"no help for {silent}"


@pytest.mark.parametrize(("family", "verb"), VERBS, ids=[f"{f} {v}" for f, v in VERBS])
def test_help_takes_half_a_second(family, verb):
    assert_quick_help(family, verb, "--help")
