"""Whisper's encoder as a trunk: its layers beside openai-whisper's at a clip's own length, and its hash."""

from dataclasses import asdict

import mlx.core as mx
import numpy as np
import pytest
import torch
import whisper
from parity import assert_close

from pytorch_to_mlx.audio.mel import whisper_log_mel
from pytorch_to_mlx.errors import FormatError, UsageError
from pytorch_to_mlx.models.whisper.config import Config
from pytorch_to_mlx.models.whisper.model import Model
from pytorch_to_mlx.models.whisper.reference import to_float64
from pytorch_to_mlx.models.whisper.trunk import EncoderTrunk, layer_outputs
from pytorch_to_mlx.models.whisper.weights import WEIGHTS, open_release
from pytorch_to_mlx.weights import apply, load_into

TINY = Config.tiny()


@pytest.fixture(scope="module")
def twin():
    torch.manual_seed(0)
    sizes = {name: size for name, size in asdict(TINY).items() if name != "alignment_heads"}
    model = whisper.model.Whisper(whisper.model.ModelDimensions(**sizes)).eval()
    torch.nn.init.normal_(model.decoder.positional_embedding)  # which the original leaves to whatever memory holds
    return model


@pytest.fixture(scope="module")
def ours(twin, tmp_path_factory):
    sizes = {name: size for name, size in asdict(TINY).items() if name != "alignment_heads"}
    path = tmp_path_factory.mktemp("whisper") / "twin.pt"
    torch.save({"dims": sizes, "model_state_dict": twin.state_dict()}, path)
    with open_release(path) as checkpoint:
        return load_into(Model(TINY), apply(WEIGHTS, checkpoint, family="whisper").weights)


def clip(seconds):
    return (0.1 * np.random.default_rng(1).standard_normal(round(seconds * 16000))).astype(np.float32)


def originals(encoder, mel):
    """The original's parts, run with as many positions as there are frames. Shapes: mel [1, M, T']."""
    gelu = torch.nn.functional.gelu
    with torch.no_grad():
        x = gelu(encoder.conv2(gelu(encoder.conv1(mel)))).transpose(1, 2)
        layers = [x + encoder.positional_embedding[: x.shape[1]]]
        for block in encoder.blocks:
            layers.append(block(layers[-1]))
    return [torch.nn.functional.layer_norm(layer, layer.shape[-1:]).numpy() for layer in layers]


@pytest.mark.parametrize("seconds", [0.4, 0.25, 0.11])
def test_layers_are_the_originals(twin, ours, seconds):
    mel = whisper_log_mel(clip(seconds))[None]
    features = EncoderTrunk(ours).encode(clip(seconds), (0, 1, 2))
    assert features.shape == (-(-mel.shape[1] // 2), 3, 32)
    theirs = torch.from_numpy(np.array(mel)).transpose(1, 2)
    single = originals(twin.encoder, theirs)
    double = originals(to_float64(twin).encoder, theirs.double())
    for layer in range(3):
        assert_close(features[None, :, layer], single[layer], double[layer], name=f"layer {layer}")


def test_the_last_layer_of_a_whole_window_is_the_encoders(ours):
    mel = mx.random.normal((1, 2 * TINY.n_audio_ctx, TINY.n_mels), key=mx.random.key(3))
    last = layer_outputs(ours.encoder, mel, TINY.n_audio_layer)[-1]
    scaled = last * ours.encoder.ln_post.weight + ours.encoder.ln_post.bias
    np.testing.assert_allclose(np.array(scaled), np.array(ours.encoder(mel)), atol=1e-5)


def test_some_layers_are_some_of_all(ours):
    trunk = EncoderTrunk(ours)
    every = trunk.encode(clip(0.3), (0, 1, 2))
    assert np.array_equal(trunk.encode(clip(0.3), (1,)), every[:, 1:2])
    assert np.array_equal(trunk.encode(clip(0.3), (0, 2)), every[:, ::2])


def test_what_cannot_be_encoded(ours):
    trunk = EncoderTrunk(ours)
    assert trunk.max_s == 0.4 and trunk.depth == 2
    with pytest.raises(FormatError, match="longer than the window"):
        trunk.encode(clip(0.45), (0,))
    with pytest.raises(FormatError, match="too few"):
        trunk.encode(clip(0.03), (0,))
    with pytest.raises(UsageError, match="this trunk has 0 to 2"):
        trunk.encode(clip(0.3), (3,))


def test_the_digest_is_of_the_encoder_alone_and_not_of_its_type_in_memory():
    mx.random.seed(0)
    model = Model(TINY)
    model.update({"encoder": {"ln_post": {"weight": model.encoder.ln_post.weight.astype(mx.float16)}}})
    first = EncoderTrunk(model).digest
    model.decoder.ln.weight = model.decoder.ln.weight + 1
    model.update({"encoder": {"ln_post": {"weight": model.encoder.ln_post.weight.astype(mx.float32)}}})
    assert EncoderTrunk(model).digest == first and len(first) == 64
    model.encoder.blocks[1].mlp1.bias = model.encoder.blocks[1].mlp1.bias + 1e-6
    assert EncoderTrunk(model).digest != first
