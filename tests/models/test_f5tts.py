"""The networks of F5-TTS and E2-TTS against f5-tts 1.1.22: numbers that tests/golden/f5_networks.py took from it."""

import json
from dataclasses import replace

import mlx.core as mx
import numpy as np
import pytest
from golden.f5_networks import FRAMES, IDS, KEEP, N_REFERENCE, NETWORKS, SAMPLES, SEED, golden, reference_mel, weight
from mlx.utils import tree_flatten
from parity import assert_close

from pytorch_to_mlx.audio.torch_random import TorchRandom
from pytorch_to_mlx.errors import FormatError, UsageError
from pytorch_to_mlx.models.f5tts.config import VARIANTS, Config
from pytorch_to_mlx.models.f5tts.model import Item, Model, total_frames
from pytorch_to_mlx.models.f5tts.release import sizes_of
from pytorch_to_mlx.models.f5tts.schedule import evaluation_times, passes, times
from pytorch_to_mlx.models.f5tts.text_embedding import stretched
from pytorch_to_mlx.models.f5tts.weights import WEIGHTS
from pytorch_to_mlx.taps import watch_taps
from pytorch_to_mlx.weights import apply, dead_rules, invert, load_into

GOLDEN = golden()
SETTINGS = {
    "v0": VARIANTS["v0"],
    "v1": VARIANTS["v1"],
    "custom": VARIANTS["v1"] | {"variant": "custom", "text_average_upsampling": True},
    "e2": {},
    "e2 add": {"skip_connect_type": "add"},
}
OPTIONS = {"steps": "steps", "cfg_strength": "guidance", "sway_sampling_coef": "sway"}


def tiny_inputs(config: Config, batch: int = 1):
    cond = mx.random.normal((1, 7, config.n_mels), key=mx.random.key(1))
    return {"cond": mx.repeat(cond, batch, 0), "ids": [[1, 2, 3]] * batch, "frames": 13, "steps": 2}


def sizes(name: str) -> Config:
    """The sizes of a network of the golden numbers."""
    kind, arch = NETWORKS[name]
    base = Config.tiny(
        backbone=kind,
        num_hidden_layers=arch["depth"],
        text_hidden_size=arch.get("text_dim", 100),
        num_text_layers=arch.get("conv_layers", 0),
        qk_norm="qk_norm" in arch,
        long_skip_connection="long_skip_connection" in arch,
        **({"variant": "v0", "text_mask_padding": False, "rotates": "first"} if kind == "UNetT" else {}),
    )
    return Config.from_dict(vars(base) | SETTINGS[name])


def original_state(config: Config) -> dict[str, mx.array]:
    """The tensors of the original's network, by its names; what each holds follows from its name."""
    ours = dict(tree_flatten(Model(config).parameters()))
    return {name: mx.array(weight(name, value.shape)) for name, value in invert(WEIGHTS, ours).items()}


@pytest.fixture(scope="module", params=list(NETWORKS))
def network(request):
    config = sizes(request.param)
    applied = apply(WEIGHTS, {**original_state(config), "transformer.rotary_embed.inv_freq": mx.zeros(32)})
    return request.param, load_into(Model(config), applied.weights)


def test_text_embedding(network):
    name, model = network
    assert_close(model.text(IDS, FRAMES)[0], GOLDEN[f"{name} text"])


def test_sampling(network):
    name, model = network
    for sample in (s for s in SAMPLES if f"{name} {s}" in GOLDEN):
        options = {OPTIONS[key]: value for key, value in SAMPLES[sample].items()}
        keep = KEEP.tolist() if sample == "edit" else None
        method = "midpoint" if sample == "midpoint" else "euler"
        mel = model.sample(mx.array(reference_mel()), IDS, FRAMES, seed=SEED, keep=keep, method=method, **options)
        assert mel.shape == (FRAMES, 100)
        assert_close(mel[::3], GOLDEN[f"{name} {sample}"], name=f"{name} {sample}")


def test_a_batch_is_its_items(network):
    """Upstream's batch is not (0.06 to 0.16 on a network of this size): it sees padding."""
    _, model = network
    cond = mx.array(reference_mel())
    items = [Item(cond, IDS, FRAMES, 3), Item(cond[:5], IDS[:3], 17, 4), Item(cond[:8], IDS * 2, 12, 5)]
    both = model.sample_batch(items, steps=4)
    for item, mel in zip(items, both, strict=True):
        alone = model.sample_batch([item], steps=4)[0]
        assert mel.shape == alone.shape
        np.testing.assert_allclose(np.array(mel), np.array(alone), rtol=0, atol=2e-6 * float(mx.abs(alone).max()))


def test_rules_of_weights_are_all_used():
    networks = [sizes("custom"), sizes("e2"), replace(sizes("e2"), qk_norm=True)]
    names = [[*original_state(config), "transformer.rotary_embed.inv_freq"] for config in networks]
    assert dead_rules(WEIGHTS, *names) == []


def test_sizes_are_read_from_the_tensors():
    for name in NETWORKS:
        config = sizes(name)
        shapes = {key: value.shape for key, value in original_state(config).items()}
        assert Config.from_dict({**vars(Config.tiny()), **sizes_of(shapes, ""), **SETTINGS[name]}) == config


def test_recording_is_kept_and_the_rest_is_made(network):
    _, model = network
    cond = mx.array(reference_mel())
    mel = model.sample(cond, IDS, FRAMES, steps=1)
    assert mx.array_equal(mel[:N_REFERENCE], cond)
    noise = mx.array(TorchRandom(0).randn(FRAMES, 100))
    assert mx.array_equal(mel, model.sample(cond, IDS, FRAMES, steps=1, noise=noise))
    assert not mx.array_equal(mel, model.sample(cond, IDS, FRAMES, steps=1, seed=1))


@pytest.mark.parametrize(("method", "shares"), [("euler", [0, 0.5, 1]), ("midpoint", [0, 0, 0.5, 0.5, 1])])
def test_steps_are_told(method, shares):
    calls: list[float] = []
    cond = mx.array(reference_mel())
    Model(Config.tiny()).sample(cond, IDS, FRAMES, steps=2, method=method, when_moved=calls.append)
    assert calls == shares


def test_each_step_is_tapped():
    model = Model(Config.tiny())
    seen = []
    with watch_taps(lambda name, value: seen.append(name)):
        model.sample(mx.zeros((4, 100)), [1], 9, steps=3)
    assert [name for name in seen if name.startswith("step")] == ["step 1", "step 2", "step 3"]


@pytest.mark.parametrize(
    ("frames", "n_reference", "n_ids", "expected"),
    [(30, 10, 5, 30), (3, 10, 5, 11), (3, 10, 40, 41), (10**6, 10, 5, 65536)],
)
def test_total_frames(frames, n_reference, n_ids, expected):
    """cfm.py: at least one frame more than the recording, and than tokens."""
    assert total_frames(frames, n_reference, n_ids) == expected


def test_schedules():
    """The numbers of f5-tts 1.1.22 for 7 pruned steps with sway -1, for 3 uniform ones with 0.4, and 10 of linspace."""
    assert times(7) == pytest.approx(
        [0, 0.0048152730, 0.019214719, 0.043059587, 0.076120466, 0.29289320, 0.61731654, 1.0], abs=2e-7
    )
    assert times(16, None)[:11] == [i / 32 for i in (0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12)]
    assert times(10, None, epss=False) == [float(np.float32(i / 10)) for i in range(11)]
    assert times(4, 0.0) == times(4, None) == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert evaluation_times([0.0, 0.5, 1.0], "midpoint").tolist() == [0.0, 0.25, 0.5, 0.75]
    assert (passes(7, 2.0), passes(7, 0.0), passes(7, 2.0, "midpoint")) == (14, 7, 28)


@pytest.mark.parametrize(("n", "frames", "expected"), [(3, 8, [0, 0, 1, 1, 1, 2, 2, 2]), (2, 4, [0, 0, 1, 1])])
def test_stretched(n, frames, expected):
    assert stretched(n, frames).tolist() == expected


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 0}, "0 steps"),
        ({"sway": 2.0}, "sway is 2.0"),
        ({"guidance": -1.0}, "guidance is -1.0"),
        ({"guidance": float("nan")}, "guidance is nan"),
        ({"method": "rk9"}, "no solver is called 'rk9'"),
        ({"ids": [1, 40]}, "a token outside 0 … 39"),
        ({"ids": [-2]}, "a token outside 0 … 39"),
        ({"cond": mx.zeros((4, 80))}, r"a mel of shape \[4, 80\]"),
        ({"noise": mx.zeros((4, 100))}, r"noise of shape \[4, 100\]"),
        ({"keep": [True]}, "keep has 1 frames, the recording 4"),
        ({"frames": 9000}, "9000 frames are more than the 8192"),
    ],
)
def test_wrong_arguments(change, message):
    arguments = {"cond": mx.zeros((4, 100)), "ids": [1], "frames": 9} | change
    with pytest.raises(UsageError, match=message):
        Model(Config.tiny()).sample(**arguments)


def test_variant_is_asked_for():
    sizes_alone = {key: value for key, value in vars(Config.tiny()).items() if key != "variant"} | {"variant": None}
    with pytest.raises(FormatError, match=r"nothing says whether this is v0 or v1.*--variant v0"):
        Config.from_dict(sizes_alone)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hidden_size": 40}, "does not divide into 16 groups"),
        ({"text_hidden_size": 15}, "must be even"),
        ({"text_average_upsampling": True, "text_mask_padding": False}, "needs text_mask_padding"),
        ({"backbone": "UNetT", "num_text_layers": 0, "num_hidden_layers": 3}, "pairs of layers, not 3"),
        ({"backbone": "UNetT"}, "are the DiT's alone"),
        ({"rotates": "some"}, "supported: 'all', 'first'"),
    ],
)
def test_sizes_that_contradict(change, message):
    data = json.loads(json.dumps(vars(Config.tiny()))) | change
    with pytest.raises(FormatError, match=message):
        Config.from_dict(data)
