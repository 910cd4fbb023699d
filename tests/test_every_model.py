"""What every family gets tested for free, once its folder has a card.

A family's tests/models/test_<name>.py brings `tiny_inputs(config, batch=1)`: keyword arguments for one call of
`Model(Config.tiny())`. A family that takes no batches says why in `NO_BATCH`.
"""

import dataclasses
import importlib.util
import re
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest
from command import assert_quick_help
from mlx.utils import tree_flatten

from pytorch_to_mlx import registry
from pytorch_to_mlx.cli import app, verbs
from pytorch_to_mlx.errors import CheckError, FormatError
from pytorch_to_mlx.taps import record_taps
from pytorch_to_mlx.weights import Rule, apply, invert, load_into, load_model, quantize, rebuild, write_folder

VERBS = [(name, verb) for name in registry.names() for verb in app.family_verbs(registry.card(name))]


@pytest.fixture(params=registry.names())
def family(request):
    if registry.card(request.param).extra == "llama":
        pytest.importorskip("mlx_lm", reason="the extra llama is not installed")
    return request.param


def build(family):
    return registry.family(family).model(registry.family(family).config.tiny())


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
    weight_map = registry.family(family).weights
    state = invert(weight_map, weights)
    applied = apply(weight_map, {**state, **needed_besides(weight_map, state)}, family=family)
    assert applied.weights.keys() == weights.keys()
    for name, weight in applied.weights.items():
        expected = np.array(weights[name].astype(mx.float32))
        tolerance = 1e-6 if name in applied.report.folded else 0
        np.testing.assert_allclose(np.array(weight.astype(mx.float32)), expected, rtol=tolerance, err_msg=name)
    load_into(build(family), applied.weights)


def test_unmatched_tensor_names_the_file_of_the_rules(family):
    weight_map = registry.family(family).weights
    with pytest.raises(FormatError) as caught:
        apply(weight_map, {"not.in.any.checkpoint": mx.zeros(1)}, family=family)
    path = Path(re.search("add rules to (.*), or run:", str(caught.value))[1])
    assert path.is_file() and (path.parent.name, path.name) == (registry.folder(family), "weights.py")


def test_write_and_load(family, weights, tmp_path):
    dest = write_folder(tmp_path / "out", config={"model_type": family}, weights=weights)
    module, config = load_model(dest, lambda config: build(family))
    assert config == {"model_type": family}
    loaded = flat(module)
    assert all(mx.array_equal(loaded[name], weight) for name, weight in weights.items())


def test_quantize_and_rebuild(family, weights):
    module = load_into(build(family), weights)
    try:
        done = quantize(module, bits=8, group_size=32, predicate=registry.family(family).quantizes)
    except CheckError as error:
        assert error.what == "no layer can be quantized", error
        pytest.skip(error.what)
    again = load_into(rebuild(build(family), {"quantization": done.config}, flat(module)), flat(module))
    assert flat(again).keys() == flat(module).keys()


def test_cards_name_different_tensors(family):
    card = registry.card(family)
    assert card.model_types and card.checkpoints and card.fingerprint
    others = [c for c in registry.cards() if c.name != card.name]
    assert not {t for c in others for t in c.model_types} & set(card.model_types)


def module_of_tests(family):
    path = Path(__file__).parent / "models" / f"test_{registry.folder(family)}.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def tiny(family):
    """(config, model) with the random weights of its own constructor."""
    mx.random.seed(0)
    model = build(family)
    mx.eval(model.parameters())
    return registry.family(family).config.tiny(), model


def run(family, config, model, **options) -> dict[str, np.ndarray]:
    """The outputs of one call by name, as float32."""
    mx.random.seed(1)
    result = model(**module_of_tests(family).tiny_inputs(config, **options))
    return {name or "output": np.array(value.astype(mx.float32)) for name, value in tree_flatten(result)}


def assert_finite(outputs: dict[str, np.ndarray]) -> None:
    for name, value in outputs.items():
        assert value.size and np.isfinite(value).all(), name


def test_tiny_is_tiny_and_runs(family, tiny):
    assert sum(p.size for p in flat(tiny[1]).values()) < 5_000_000
    assert_finite(run(family, *tiny))


def test_taps_of_the_model_are_on_the_card(family, tiny):
    with record_taps() as record:
        run(family, *tiny)
    declared = {tap.name for tap in registry.card(family).taps}
    assert record, "the model has no tap"
    assert record.keys() <= declared, f"not on the card: {sorted(record.keys() - declared)}"


def test_config_is_read_back(family):
    config = registry.family(family).config.tiny()
    assert type(config).from_dict(dataclasses.asdict(config)) == config


def test_saved_and_loaded_gives_the_same_bits(family, tiny, tmp_path):
    config, model = tiny
    path = write_folder(tmp_path / "m", config={"model_type": family}, weights=flat(model))
    loaded, _ = load_model(path, lambda _: build(family))
    ours, theirs = run(family, config, model), run(family, config, loaded)
    assert ours.keys() == theirs.keys() and all(np.array_equal(ours[k], theirs[k]) for k in ours)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_runs(family, tiny, dtype):
    config, model = tiny
    ranks = {name: value.ndim for name, value in run(family, config, model).items()}
    model.set_dtype(getattr(mx, dtype))
    outputs = run(family, config, model)
    assert_finite(outputs)
    assert {name: value.ndim for name, value in outputs.items()} == ranks


def test_quantized_runs(family, tiny):
    config, model = tiny
    try:
        quantize(model, bits=8, group_size=32, predicate=registry.family(family).quantizes)
    except CheckError as error:
        assert error.what == "no layer can be quantized", error
    assert_finite(run(family, config, model))


def test_batch_equals_single(family, tiny):
    tests = module_of_tests(family)
    if hasattr(tests, "NO_BATCH"):
        assert len(tests.NO_BATCH) > 20, "say why"
        pytest.skip(tests.NO_BATCH)
    single, both = run(family, *tiny), run(family, *tiny, batch=2)
    for name, value in both.items():
        np.testing.assert_allclose(value[:1], single[name], rtol=1e-4, atol=1e-5, err_msg=name)


def test_card_says_enough(family):
    card = registry.card(family)
    assert card.checkpoints and card.fingerprint and card.taps and card.summary
    assert all(published.licence for published in card.checkpoints)


@pytest.mark.parametrize(("family", "verb"), VERBS, ids=[f"{f} {v}" for f, v in VERBS])
def test_verbs_explain_themselves(family, verb):
    """A description, an example of this command, help for every option, and a page that imports nothing heavy."""
    read = verbs.read(verb, app.family_verbs(registry.card(family))[verb])
    assert read.description
    assert any(line.startswith(f"pytorch-to-mlx {family} {verb}") for line in read.examples), read.examples
    assert not (silent := [p.name for p in read.parameters if not p.help]), f"no help for {silent}"
    assert_quick_help(family, verb, "--help")
