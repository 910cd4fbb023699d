"""CAM++ and the speech tokenizer against their ONNX graphs in onnxruntime, read by our own reader."""

from dataclasses import replace

import mlx.core as mx
import numpy as np
import pytest
from golden.cosyvoice_audio import sound
from models.cosyvoice import release

from pytorch_to_mlx.checkpoint import open_checkpoint
from pytorch_to_mlx.errors import FormatError, UsageError
from pytorch_to_mlx.models.cosyvoice.voice.campplus import CamPPlus, CamPPlusConfig, speaker_features
from pytorch_to_mlx.models.cosyvoice.voice.campplus_weights import CAMPPLUS
from pytorch_to_mlx.models.cosyvoice.voice.s3_tokenizer import (
    OVERLAP,
    WINDOW,
    SpeechTokenizer,
    SpeechTokenizerConfig,
    tokenizer_features,
)
from pytorch_to_mlx.models.cosyvoice.voice.s3_tokenizer_weights import S3_TOKENIZER
from pytorch_to_mlx.weights import WeightMap, apply, invert, load_into

TOKENIZER_TINY = replace(SpeechTokenizerConfig.tiny(), attn_norm_eps=1e-6)  # as the test's file says
CAMPPLUS_TINY = CamPPlusConfig(head_channels=4, init_channels=32, growth_rate=8, bn_channels=32, block_layers=(2, 2, 1))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("release")
    release.write_onnx(folder, release.TINY)
    return folder


@pytest.fixture(scope="module")
def campplus(folder):
    with open_checkpoint(folder / "campplus.onnx") as checkpoint:
        return load_into(CamPPlus(CAMPPLUS_TINY), apply(WeightMap(*CAMPPLUS), checkpoint).weights)


@pytest.fixture(scope="module")
def tokenizer(folder):
    with open_checkpoint(folder / "speech_tokenizer_v2.onnx") as checkpoint:
        weights = apply(WeightMap(*S3_TOKENIZER), checkpoint).weights
    return load_into(SpeechTokenizer(TOKENIZER_TINY), weights)


def onnxruntime_session(path):
    import onnxruntime

    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("frames", [3, 97, 200, 201, 399, 403])  # around the segments of 100 after the halving
def test_campplus(campplus, folder, frames):
    fbank = np.array(speaker_features(sound(4.1)))[:, :frames]
    session = onnxruntime_session(folder / "campplus.onnx")
    (theirs,) = session.run(None, {"input": fbank})
    ours = np.array(campplus(mx.array(fbank)))
    assert ours.shape == (1, 192) and theirs.std() > 0.1
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5 * np.abs(theirs).max())


def test_campplus_needs_three_frames(campplus):
    with pytest.raises(UsageError, match="2 frames of audio are too few"):
        campplus(mx.zeros((1, 2, 80)))


@pytest.mark.parametrize("frames", [1, 2, 5, 303, 410])
def test_speech_tokens(tokenizer, folder, frames):
    log_mel = np.array(tokenizer_features(sound(4.1)))[:, :frames]
    session = onnxruntime_session(folder / "speech_tokenizer_v2.onnx")
    feats = {"feats": log_mel.swapaxes(1, 2), "feats_length": np.array([frames], np.int32)}
    (theirs,) = session.run(None, feats)
    ours = np.array(tokenizer(mx.array(log_mel)))
    assert np.array_equal(ours, theirs) and ours.shape == (1, -(-frames // 4))
    assert frames < 300 or len(np.unique(ours)) > 20


@pytest.mark.parametrize("frames", [WINDOW + 1, 2 * WINDOW - OVERLAP, 2 * WINDOW - OVERLAP + 1, 7000])
def test_long_recordings_are_read_in_windows(tokenizer, frames):
    log_mel = mx.random.normal((1, frames, 128))
    ids = np.array(tokenizer(log_mel))
    assert ids.shape == (1, -(-frames // 4))
    half = OVERLAP // 2 // 4
    first = np.array(tokenizer.encode(log_mel[:, :WINDOW]))
    assert np.array_equal(ids[:, : WINDOW // 4 - half], first[:, :-half])
    start = WINDOW - OVERLAP
    second = np.array(tokenizer.encode(log_mel[:, start : start + WINDOW]))
    end = min(frames, start + WINDOW) // 4 - (half if frames > start + WINDOW else 0)
    assert np.array_equal(ids[:, start // 4 + half : end], second[:, half : end - start // 4])


def test_no_audio(tokenizer):
    with pytest.raises(UsageError, match="no audio to make tokens of"):
        tokenizer(mx.zeros((1, 0, 128)))


@pytest.mark.parametrize(("rules", "name"), [(CAMPPLUS, "campplus"), (S3_TOKENIZER, "speech_tokenizer_v2")])
def test_every_tensor_goes_there_and_back(folder, rules, name):
    with open_checkpoint(folder / f"{name}.onnx") as checkpoint:
        applied = apply(WeightMap(*rules), checkpoint)
        back = invert(WeightMap(*rules), applied.weights)
        assert checkpoint.keys() - back.keys() == applied.report.dropped.keys()
        assert all(mx.array_equal(back[key], checkpoint[key]) for key in back)


@pytest.mark.parametrize("lost", ["onnx::MatMul_2228", "blocks.1.attn.fsmn_block.weight", "quantizer.project_in.bias"])
def test_a_lost_initializer_is_an_error(folder, tmp_path, lost):
    import onnx

    model = onnx.load(folder / "speech_tokenizer_v2.onnx")
    kept = [tensor for tensor in model.graph.initializer if tensor.name != lost]
    assert len(kept) + 1 == len(model.graph.initializer)
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    path = tmp_path / "lost.onnx"
    onnx.save(model, path)
    with pytest.raises(FormatError, match=r"missing|without|matches no tensor"), open_checkpoint(path) as checkpoint:
        weights = apply(WeightMap(*S3_TOKENIZER), checkpoint).weights
        load_into(SpeechTokenizer(TOKENIZER_TINY), weights)
