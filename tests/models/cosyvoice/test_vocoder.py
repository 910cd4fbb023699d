"""The vocoder against the original's classes: a tiny twin with seeded random weights through the real rules."""

import warnings
from types import SimpleNamespace
from unittest.mock import patch

import mlx.core as mx
import numpy as np
import pytest
import torch
from models.cosyvoice import release
from parity import assert_close

from pytorch_to_mlx.models.cosyvoice.original.audio import build_hift
from pytorch_to_mlx.models.cosyvoice.original.imports import original
from pytorch_to_mlx.models.cosyvoice.original.taps import torch_source
from pytorch_to_mlx.models.cosyvoice.original.vocoder_overlap import OverlapStream
from pytorch_to_mlx.models.cosyvoice.vocoder.config import HiftConfig
from pytorch_to_mlx.models.cosyvoice.vocoder.hift import Hift
from pytorch_to_mlx.models.cosyvoice.vocoder.stream import HiftStream, lookahead_frames
from pytorch_to_mlx.models.cosyvoice.vocoder.weights import HIFT
from pytorch_to_mlx.nn.stream import Stream
from pytorch_to_mlx.weights import WeightMap, apply, load_into

TINY = HiftConfig.tiny()
STEP = TINY.samples_per_frame


def state():
    """The release's, with a pitch that is often under the least of a voiced frame."""
    made = release.hift_state(release.TINY, np.random.default_rng(0))
    made["f0_predictor.classifier.weight"] *= 4
    made["f0_predictor.classifier.bias"] -= 170
    return made


@pytest.fixture(scope="module")
def ours():
    tensors = {name: mx.array(array) for name, array in state().items()}
    return load_into(Hift(TINY), apply(WeightMap(*HIFT), tensors).weights)


def twin(dtype):
    made = build_hift(TINY)
    made.load_state_dict({name: torch.from_numpy(array) for name, array in state().items()})
    made.stft_window = made.stft_window.to(dtype)
    return made.to(dtype)


@pytest.fixture(scope="module")
def twins():
    return twin(torch.float32), twin(torch.float64)


def mel_of(frames, seed=0):
    """Log-mel-like: it wanders, so that the pitch is voiced and unvoiced."""
    rng = np.random.default_rng(seed)
    steps = rng.standard_normal((1, frames, 80)) * 0.7
    return (np.cumsum(steps, axis=1) - 3).astype(np.float32)


def noise_of(frames, seed=1):
    return np.random.default_rng(seed).standard_normal((1, frames * STEP, 9)).astype(np.float32)


@pytest.mark.parametrize("frames", [3, 40, 61])
def test_twin(ours, twins, frames):
    """Pitch; the source for the same pitch; the audio for the same source."""
    mel, noise = mel_of(frames), noise_of(frames)
    inputs = [torch.from_numpy(mel).transpose(1, 2).to(dtype) for dtype in (torch.float32, torch.float64)]
    with torch.no_grad():
        f0 = [side.f0_predictor(x) for side, x in zip(twins, inputs, strict=True)]
        source = torch_source(twins[0], f0[0], noise)
        audio = [side.decode(x=x, s=source[:, None].to(x)) for side, x in zip(twins, inputs, strict=True)]
    assert_close(ours.f0_predictor(mx.array(mel), Stream()), *f0, name="f0")
    assert_close(ours.source(mx.array(f0[0].numpy()), mx.array(noise)), source, name="source")
    got = ours.decode(mx.array(mel), mx.array(source.numpy()), Stream())
    assert_close(got, *audio, name="audio")
    assert got.shape == (1, frames * STEP)
    assert np.abs(np.array(got) - audio[0].numpy()).max() < 3.3e-4
    assert 0.01 < np.array(got).std() < 0.6


def test_twin_is_voiced_and_unvoiced(ours):
    f0 = np.array(ours.f0_predictor(mx.array(mel_of(200)), Stream()))
    assert (f0 > 10).any() and (f0 <= 10).any()


def test_old_names_of_weight_norm(ours):
    """Checkpoints from before torch's parametrizations hold weight_g and weight_v."""
    names = {"parametrizations.weight.original0": "weight_g", "parametrizations.weight.original1": "weight_v"}
    old = {}
    for name, array in state().items():
        for new, before in names.items():
            name = name.replace(new, before)
        old[name] = mx.array(array)
    again = load_into(Hift(TINY), apply(WeightMap(*HIFT), old).weights)
    mel, noise = mx.array(mel_of(10)), mx.array(noise_of(10))
    np.testing.assert_array_equal(np.array(again(mel, noise)), np.array(ours(mel, noise)))


@pytest.mark.parametrize("seed", range(50))
def test_stream_is_the_whole(ours, seed):
    rng = np.random.default_rng(seed)
    frames = int(rng.integers(1, 120))
    mel, noise = mx.array(mel_of(frames, seed)), ours.noise(seed)
    whole = ours(mel, noise(0, frames * STEP))
    stream, pieces, fed, given = HiftStream(ours, noise), [], 0, 0
    while fed < frames:
        count = int(rng.integers(1, 50))
        pieces.append(stream.feed(mel[:, fed : fed + count]))
        fed, given = min(frames, fed + count), given + pieces[-1].shape[1]
        if given:
            assert fed * STEP - given < lookahead_frames(TINY) * STEP
    pieces.append(stream.finish())
    got = mx.concatenate(pieces, axis=1)
    assert got.shape == whole.shape
    np.testing.assert_allclose(np.array(got), np.array(whole), rtol=0, atol=1e-5)


def test_stream_of_nothing(ours):
    assert HiftStream(ours, ours.noise(0)).finish().shape == (1, 0)


def test_noise_is_the_same_however_it_is_cut(ours):
    whole = np.array(ours.noise(7)(0, 3 * STEP))
    cut = [
        np.array(ours.noise(7)(start, end)) for start, end in ((0, 100), (100, 2 * STEP + 1), (2 * STEP + 1, 3 * STEP))
    ]
    np.testing.assert_array_equal(np.concatenate(cut, axis=1), whole)
    assert np.abs(whole - np.array(ours.noise(8)(0, 3 * STEP))).max() > 1
    assert abs(whole.mean()) < 0.05 and abs(whole.std() - 1) < 0.05


def test_sizes_that_contradict_each_other():
    for change in (
        {"upsample_rates": (8, 5)},
        {"resblock_kernel_sizes": (3, 7)},
        {"upsample_kernel_sizes": (16, 10, 7)},
        {"source_resblock_kernel_sizes": (7, 7, 10)},
        {"base_channels": 12},
    ):
        with pytest.raises(ValueError, match=next(iter(change))):
            HiftConfig(**change)


def test_the_vocoder_streams_as_the_original_does(ours):
    """OverlapStream against the original's own token2wav, given the same pitch: it starts anew in each piece."""
    (model,) = original("cosyvoice.cli.model")
    theirs = object.__new__(model.CosyVoice2Model)
    hift = twin(torch.float32)
    hift.f0_predictor.forward = lambda x: torch.from_numpy(
        np.array(ours.f0_predictor(mx.array(x.mT.numpy()), Stream()))
    )
    pieces = [mel_of(frames, frames) for frames in (42, 50, 9, 3)]
    flow = SimpleNamespace(token_mel_ratio=2, inference=lambda token, **_: (torch.from_numpy(pieces[token]).mT, None))
    theirs.__dict__.update(device="cpu", fp16=False, flow=flow, hift=hift, hift_cache_dict={"id": None})
    theirs.mel_cache_len, theirs.source_cache_len, theirs.speech_window = 8, 8 * STEP, np.hamming(16 * STEP)
    noise = noise_of(100)

    class Number(int):
        """Which piece; the original asks it for a length and moves it about."""

        shape = (1, 1)
        to = lambda self, *_, **__: self  # noqa: E731

    def injected(like):
        return torch.from_numpy(noise[:, : like.shape[1]]) if like.shape[-1] == 9 else torch.zeros_like(like)

    stream = OverlapStream(ours, lambda start, end: mx.array(noise[:, start:end]))
    empty = torch.zeros(1, 0)
    for i, mel in enumerate(pieces):
        last = i == len(pieces) - 1
        with patch.object(torch, "randn_like", injected), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch and NumPy, about how it calls them
            expected = theirs.token2wav(Number(i), empty, empty, empty, 0, "id", stream=True, finalize=last)
        assert_close(stream.feed(mx.array(mel), final=last), expected, name=f"piece {i}")
