"""Kokoro against the package kokoro 0.9.4: a tiny twin through the real weight map, then the packaged weights."""

import json
from dataclasses import asdict

import mlx.core as mx
import numpy as np
import pytest
import torch
from mlx.utils import tree_flatten
from parity import assert_close, assert_taps

from pytorch_to_mlx.checkpoint import open_checkpoint, packaged, read_json
from pytorch_to_mlx.contract import Case
from pytorch_to_mlx.errors import CheckError, FormatError, UsageError
from pytorch_to_mlx.models.kokoro import reference
from pytorch_to_mlx.models.kokoro.card import CARD
from pytorch_to_mlx.models.kokoro.config import Config
from pytorch_to_mlx.models.kokoro.model import Model
from pytorch_to_mlx.models.kokoro.weights import PUBLISHED_CONFIG, WEIGHTS, open_release
from pytorch_to_mlx.weights import apply, load_into

TINY = Config.tiny()
NO_BATCH = "every input has its own number of frames, and the norms over time would see the padding"
SENTENCES = read_json(reference.DATA / "sentences.json")["sentences"]


def style_of(seed=0):
    return np.random.default_rng(seed).standard_normal((1, 256)).astype(np.float32)


def tiny_inputs(config):
    return {"ids": [0, 3, 14, 15, 9, 2, 0], "style": mx.array(style_of()), "key": mx.random.key(0)}


def case_of(ids, speed=1.0, seed=0):
    return Case(f"{ids} at {speed}, seed {seed}", {"ids": ids, "style": style_of(seed), "speed": speed, "seed": seed})


@pytest.fixture(scope="module")
def twin():
    """KModel with random weights, its biases and gains drawn too, and a pitch that is voiced and unvoiced."""
    torch.manual_seed(0)
    model = reference.build(TINY)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if ".norm." in name:
                continue  # the affine that is 1 and 0 in every release
            if name.endswith(("bias", "beta")):
                parameter.normal_(0, 0.1)
            elif name.endswith(("gamma", "LayerNorm.weight", "layer_norm.weight")) or ".alpha" in name:
                parameter.uniform_(0.7, 1.3)
        model.predictor.F0_proj.weight.mul_(200)
        model.predictor.F0_proj.bias.fill_(100)
    return model


def save_as_released(twin, path):
    """Save in the layout of kokoro-v1_0.pth: a state_dict for each part, with DataParallel's `module.`."""
    parts = {name: part.state_dict() for name, part in twin.named_children()}
    torch.save({name: {f"module.{k}": v for k, v in part.items()} for name, part in parts.items()}, path)
    return path


@pytest.fixture(scope="module")
def tiny(twin, tmp_path_factory):
    """Both sides of the twin, ours through a file in the release's layout, our reader and the real map."""
    path = save_as_released(twin, tmp_path_factory.mktemp("kokoro") / "kokoro-v1_0.pth")
    with open_checkpoint(path) as checkpoint:
        assert "bert.module.embeddings.word_embeddings.weight" in checkpoint.names()
        weights = apply(WEIGHTS, checkpoint, family="kokoro").weights
    return reference.Reference(load_into(Model(TINY), weights), twin)


@pytest.mark.parametrize(
    ("ids", "speed"),
    [([0, 3, 14, 15, 9, 2, 6, 5, 0], 1.0), ([0, 7, 0], 1.0), ([5], 0.5), ([0, *range(1, 38), 0], 2.0)],
    ids=["word", "one phoneme", "one id", "fast"],
)
def test_tiny_twin(tiny, ids, speed):
    """Compare every stage closely, and the end only coarsely.

    The first and the last frame of the source are reflected, so that their imaginary parts are rounding errors and
    their phases 0 or pi by chance, in float32 and float64 PyTorch alike. Random weights, unlike the real ones, make
    that loud.
    """
    case = case_of(ids, speed)
    ours, theirs, wide = tiny.mlx(case), tiny.torch(case), tiny.torch(case, "float64")
    speech, expected = ours.pop("speech"), theirs.pop("speech")
    assert_taps([tap for tap in CARD.taps if tap.name != "speech"], ours, theirs, wide)
    assert np.square(speech - expected).sum() < 0.05 * np.square(expected).sum()


def test_twin_is_voiced_and_unvoiced(tiny):
    """Else the parity above would test half of the source only."""
    f0 = tiny.torch(case_of([0, 3, 14, 15, 9, 2, 6, 5, 0]))["f0"]
    assert (f0 > 10).any() and (f0 <= 10).any()


def test_the_original_reads_a_release_itself(twin, tmp_path, monkeypatch):
    """`validate` reads a .pth with KModel's own loader, so that our weight map is not compared with itself."""
    path = save_as_released(twin, tmp_path / "kokoro-v1_0.pth")
    (tmp_path / "config.json").write_text(json.dumps(asdict(TINY)))
    calls = []
    monkeypatch.setattr(reference, "build", lambda config, weights=None: calls.append((config, weights)))
    reference.load_original(path)
    reference.load_original(tmp_path)
    assert calls == [(TINY, path), (TINY, path)]


def test_a_release_needs_its_config(twin, tmp_path):
    path = save_as_released(twin, tmp_path / "mine.pth")
    with pytest.raises(FormatError, match=r"no config\.json beside it"):
        open_release(path)
    published = path.rename(tmp_path / "kokoro-v1_0.pth")
    with open_release(published) as checkpoint:
        assert checkpoint.config == read_json(PUBLISHED_CONFIG)


def test_our_weights_go_back_into_the_original(tiny):
    """As `validate` does for the ONNX export; the original then computes the same as before."""
    again = reference.build(TINY)
    reference.put_weights(again, dict(tree_flatten(tiny.model.parameters())))
    case = case_of([0, 3, 14, 15, 0])
    before, after = tiny.torch(case), reference.torch_taps(again, case.inputs)
    for name in ("bert", "duration_logits", "durations", "f0", "n", "text_encoder"):
        assert_close(after[name], before[name], name=name)


def test_a_norm_of_its_own_is_refused(twin):
    state = {name: mx.array(value.numpy()) for name, value in twin.state_dict().items()}
    name = "decoder.encode.norm1.norm.weight"
    state[name] = state[name] * 1.5
    with pytest.raises(CheckError, match=r"norm1\.norm\.weight is not 1 everywhere"):
        apply(WEIGHTS, state, family="kokoro")


def test_every_length_and_speed(tiny):
    for ids, speed in [([0, 1, 0], 2.0), ([0, 1, 2, 0], 0.5), ([0, *[4] * TINY.max_phonemes, 0], 1.0), ([3], 100.0)]:
        audio, durations = tiny.model(ids, mx.array(style_of()), speed, key=mx.random.key(0))
        assert audio.shape == (sum(durations.tolist()) * TINY.samples_per_frame,)
        assert np.isfinite(np.array(audio)).all() and durations.min().item() >= 1


def test_same_key_same_bytes(tiny):
    def speak(seed):
        return np.array(tiny.model([0, 5, 6, 0], mx.array(style_of()), key=mx.random.key(seed)).audio)

    assert np.array_equal(speak(1), speak(1)) and not np.array_equal(speak(1), speak(2))


@pytest.mark.parametrize(
    ("ids", "style", "speed", "message"),
    [
        ([], (1, 256), 1.0, "0 phoneme ids"),
        ([0] * 65, (1, 256), 1.0, "65 phoneme ids"),
        ([0, 40, 0], (1, 256), 1.0, "id 40 is not in 0 … 39"),
        ([0, -1, 0], (1, 256), 1.0, "id -1 is not in"),
        ([0, 1, 0], (256,), 1.0, "a style of shape"),
        ([0, 1, 0], (1, 256), 0.0, "speed is 0"),
        ([0, 1, 0], (1, 256), float("nan"), "speed is nan"),
    ],
)
def test_wrong_inputs_are_refused(tiny, ids, style, speed, message):
    with pytest.raises(UsageError, match=message):
        tiny.model(ids, mx.zeros(style), speed)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_token": 0}, "n_token is 0"),
        ({"vocab": {"a": 178}}, "vocab holds an id"),
        ({"plbert": {"hidden_act": "gelu"}}, "made for 'gelu_new'"),
        ({"plbert": {"hidden_size": 100}}, "does not divide into 12 heads"),
        ({"istftnet": {"upsample_rates": [10, 6, 2]}}, "same number of entries"),
        ({"text_encoder_kernel_size": 4}, "must be odd"),
    ],
)
def test_wrong_configs_are_refused(change, message):
    data = read_json(PUBLISHED_CONFIG)
    for key, value in change.items():
        data[key] = value if key == "vocab" or not isinstance(value, dict) else {**data[key], **value}
    with pytest.raises(FormatError, match=message):
        Config.from_dict(data)


def test_published_config():
    config = Config.from_dict(read_json(PUBLISHED_CONFIG))
    assert len(config.vocab) == 114 and config == Config(vocab=config.vocab)


@pytest.fixture(scope="module")
def real():
    return reference.Reference.open(packaged.find("kokoro-82m-int8"))


def check(real, name):
    case = next(case for case in real.cases() if case.name == name)
    theirs, wide = real.torch(case), real.torch(case, "float64")
    assert_taps(CARD.taps, real.mlx(case), theirs, wide)


def test_packaged_weights(real):
    check(real, "one-word")


@pytest.mark.full
@pytest.mark.parametrize("name", [sentence["name"] for sentence in SENTENCES])
def test_packaged_weights_on_every_sentence(real, name):
    check(real, name)
