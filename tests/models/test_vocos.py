"""Vocos against vocos 0.1.0: numbers that tests/golden/f5_networks.py took from it."""

from dataclasses import replace

import mlx.core as mx
import numpy as np
import pytest
import torch
import yaml
from command import run
from golden.f5_networks import golden, reference_mel, wave, weight
from mlx.utils import tree_flatten
from parity import assert_close

from pytorch_to_mlx.audio import wav
from pytorch_to_mlx.convert import convert
from pytorch_to_mlx.errors import FormatError, UsageError
from pytorch_to_mlx.model_source import find_model, load
from pytorch_to_mlx.models.vocos.config import Config
from pytorch_to_mlx.models.vocos.model import Model
from pytorch_to_mlx.models.vocos.pipeline import VocosPipeline
from pytorch_to_mlx.models.vocos.weights import WEIGHTS, sizes_of
from pytorch_to_mlx.tasks import PROTOCOLS
from pytorch_to_mlx.weights import apply, invert, load_into

GOLDEN = golden()
YAML = {
    "feature_extractor": {
        "class_path": "vocos.feature_extractors.MelSpectrogramFeatures",
        "init_args": {"sample_rate": 24000, "n_fft": 1024, "hop_length": 256, "n_mels": 100, "padding": "center"},
    },
    "backbone": {
        "class_path": "vocos.models.VocosBackbone",
        "init_args": {"input_channels": 100, "dim": 32, "intermediate_dim": 64, "num_layers": 2},
    },
    "head": {
        "class_path": "vocos.heads.ISTFTHead",
        "init_args": {"dim": 32, "n_fft": 1024, "hop_length": 256, "padding": "center"},
    },
}


def tiny_inputs(config: Config, batch: int = 1):
    mel = mx.random.normal((1, 9, config.n_mels), key=mx.random.key(0))
    return {"mel": mx.repeat(mel, batch, 0)}


def original_state() -> dict[str, mx.array]:
    """The original's tensors by its names; what each holds follows from its name."""
    ours = dict(tree_flatten(Model(Config.tiny()).parameters()))
    return {name: mx.array(weight(name, value.shape)) for name, value in invert(WEIGHTS, ours).items()}


@pytest.fixture
def release(tmp_path):
    folder = tmp_path / "vocos"
    folder.mkdir()
    buffers = {"head.istft.window": torch.zeros(1024), "feature_extractor.mel_spec.mel_scale.fb": torch.zeros(513, 100)}
    state = {name: torch.from_numpy(np.array(value)) for name, value in original_state().items()}
    torch.save(state | buffers, folder / "pytorch_model.bin")
    (folder / "config.yaml").write_text(yaml.safe_dump(YAML))
    return folder


@pytest.mark.parametrize("padding", ["center", "same"])
def test_audio_is_the_original_s(padding):
    """A hop for each frame but the first, at the original's level: 0.75 of it is what dividing by Σw instead of Σw²
    would give."""
    config = replace(Config.tiny(), padding=padding)
    pipeline = VocosPipeline(load_into(Model(config), apply(WEIGHTS, original_state()).weights))
    mel = mx.array(3 * reference_mel())
    audio = pipeline.vocode(mel)
    assert len(audio) == 256 * (len(mel) - (padding == "center"))
    assert_close(audio, GOLDEN[f"vocos {padding} audio"])


def test_release_is_converted_and_spoken_with(release, tmp_path):
    assert find_model(release).family.name == "vocos"
    folder = convert(release, tmp_path / "mlx")
    pipeline, released = load(folder), load(release)
    assert isinstance(pipeline, PROTOCOLS["vocoding"])
    mel = mx.array(3 * reference_mel())
    assert np.array_equal(pipeline.vocode(mel), released.vocode(mel))
    assert_close(pipeline.vocode(mel), GOLDEN["vocos center audio"])


def test_resynthesize(release, tmp_path):
    source, target = tmp_path / "in.wav", tmp_path / "out.wav"
    wav.write(source, wave(), 24000)
    done = run("vocos", "resynthesize", source, "--model", release, "--output", target, "--json")
    assert done.returncode == 0, done.stderr
    audio, rate = wav.read(target)
    assert rate == 24000 and len(audio) == 6077 // 256 * 256


def test_padding_of_the_yaml(release):
    same = {**YAML, "head": {**YAML["head"], "init_args": {**YAML["head"]["init_args"], "padding": "same"}}}
    (release / "config.yaml").write_text(yaml.safe_dump(same))
    assert load(release).model.config.padding == "same"


@pytest.mark.parametrize(
    ("part", "key", "value", "message"),
    [
        ("head", "class_path", "vocos.heads.IMDCTCosHead", "head is 'vocos.heads.IMDCTCosHead'; this port was made"),
        ("backbone", "class_path", "os.system", "backbone is 'os.system'; this port was made for"),
        ("backbone", "init_args", {"dim": 64}, "backbone: dim is 64, elsewhere and in the tensors 32"),
        ("head", "init_args", {"dim": 32, "n_fft": 1024, "hop_length": 300}, "head: hop_length is 300, elsewhere"),
        ("head", "init_args", {"dim": 32, "n_fft": 1024, "hop_length": 256, "padding": "odd"}, "supported: 'center'"),
    ],
)
def test_yaml_of_another_model(release, part, key, value, message):
    changed = {**YAML, part: {**YAML[part], key: value}}
    (release / "config.yaml").write_text(yaml.safe_dump(changed))
    with pytest.raises(FormatError) as caught:
        load(release)
    assert message in str(caught.value)


def test_tokens_of_encodec_are_refused(release):
    state = torch.load(release / "pytorch_model.bin", weights_only=True)
    torch.save(state | {"backbone.norm.scale.weight": torch.zeros(4, 32)}, release / "pytorch_model.bin")
    with pytest.raises(FormatError, match="a Vocos for EnCodec's tokens, not for mels"):
        load(release, family="vocos")


def test_wrong_inputs():
    pipeline = VocosPipeline(Model(Config.tiny()))
    for shape in ((9, 80), (1, 100), (2, 9, 100)):
        with pytest.raises(UsageError, match="a mel of shape"):
            pipeline.vocode(mx.zeros(shape))
    with pytest.raises(UsageError, match="512 samples are too few; give 513 or more"):
        pipeline.resynthesize(np.zeros(512, np.float32))
    assert len(pipeline.resynthesize(np.zeros(513, np.float32))) == 512


def test_another_checkpoint():
    with pytest.raises(FormatError, match="not a checkpoint of Vocos"):
        sizes_of({"backbone.embed.weight": (4,)}, "x")
