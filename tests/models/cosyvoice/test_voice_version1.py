"""Version 1's speech tokenizer against onnxruntime, on files with the names of the released ones."""

import mlx.core as mx
import numpy as np
import onnx
import pytest
from models.cosyvoice import onnx_files_version1
from models.cosyvoice.test_voice import onnxruntime_session, sound

from pytorch_to_mlx.checkpoint import open_checkpoint
from pytorch_to_mlx.errors import FormatError
from pytorch_to_mlx.models.cosyvoice.release.sizes import vq_tokenizer_config
from pytorch_to_mlx.models.cosyvoice.voice.s3_tokenizer import WINDOW, tokenizer_features
from pytorch_to_mlx.models.cosyvoice.voice.vq_tokenizer import VQTokenizer, VQTokenizerConfig
from pytorch_to_mlx.models.cosyvoice.voice.vq_tokenizer_weights import VQ_TOKENIZER
from pytorch_to_mlx.weights import WeightMap, apply, invert, load_into


def tensors_of(checkpoint):
    return {name.removeprefix("encoders."): checkpoint[name] for name in checkpoint.names()}


@pytest.fixture(scope="module", params=[50, 25], ids=["50 Hz", "25 Hz"])
def path(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("tokenizer") / "speech_tokenizer_v1.onnx"
    onnx_files_version1.speech_tokenizer(path, state=64, heads=1, layers=2, rate=request.param)
    return path


@pytest.fixture(scope="module")
def tokenizer(path):
    with open_checkpoint(path) as checkpoint:
        infos = {name.removeprefix("encoders."): entry.info for name, entry in checkpoint.entries.items()}
        model = VQTokenizer(VQTokenizerConfig(**vq_tokenizer_config(infos, checkpoint.extra)))
        return load_into(model, apply(WeightMap(*VQ_TOKENIZER), tensors_of(checkpoint)).weights)


@pytest.mark.parametrize("frames", [1, 2, 5, 303, 410])
def test_speech_tokens(tokenizer, path, frames):
    log_mel = np.array(tokenizer_features(sound(4.1)))[:, :frames]
    feats = {"feats": log_mel.swapaxes(1, 2)}
    (theirs,) = onnxruntime_session(path).run(None, feats | {"feats_length": np.array([frames], np.int32)})
    ours = np.array(tokenizer(mx.array(log_mel)))
    assert np.array_equal(ours, theirs) and ours.shape == (1, -(-frames // tokenizer.frames_per_token))
    assert frames < 300 or len(np.unique(ours)) > 10


def test_long_recordings_are_read_in_windows(tokenizer):
    log_mel = mx.random.normal((1, WINDOW + 50, 128))
    ids = np.array(tokenizer(log_mel))
    assert ids.shape == (1, -(-(WINDOW + 50) // tokenizer.frames_per_token))
    first = np.array(tokenizer.encode(log_mel[:, :WINDOW]))
    n_own = (WINDOW - 200) // tokenizer.frames_per_token
    assert np.array_equal(ids[:, :n_own], first[:, :n_own])


def test_every_tensor_goes_there_and_back(path):
    with open_checkpoint(path) as checkpoint:
        tensors = tensors_of(checkpoint)
        back = invert(WeightMap(*VQ_TOKENIZER), apply(WeightMap(*VQ_TOKENIZER), tensors).weights)
        assert back.keys() == tensors.keys()
        assert all(mx.array_equal(back[key], tensors[key]) for key in back)


def test_a_lost_weight_is_an_error(path, tmp_path):
    model = onnx.load(path)
    del model.graph.initializer[next(i for i, t in enumerate(model.graph.initializer) if t.dims == [4 * 64])]
    onnx.save(model, tmp_path / "lost.onnx")
    with pytest.raises(FormatError, match=r"missing|without|matches no tensor"):
        with open_checkpoint(tmp_path / "lost.onnx") as checkpoint:
            load_into(
                VQTokenizer(VQTokenizerConfig.tiny()), apply(WeightMap(*VQ_TOKENIZER), tensors_of(checkpoint)).weights
            )
