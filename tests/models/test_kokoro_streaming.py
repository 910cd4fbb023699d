"""Windows: they cover the input, short inputs come out exactly, seams are smooth, and the prosody is the whole's."""

from itertools import pairwise

import mlx.core as mx
import numpy as np
import pytest

from pytorch_to_mlx.backend import ops
from pytorch_to_mlx.models.kokoro import streaming
from pytorch_to_mlx.models.kokoro.config import Config
from pytorch_to_mlx.models.kokoro.istftnet import Decoder
from pytorch_to_mlx.models.kokoro.model import Model
from pytorch_to_mlx.models.kokoro.streaming import decode_in_windows, windows


@pytest.mark.parametrize("steps", [1, 2, 139, 140, 141, 349, 350, 351, 582, 2000, 100_000])
def test_windows_cover_every_step_once(steps):
    spans = list(windows(steps))
    assert spans[0][0] == 0 and spans[-1][1] == steps
    assert all(a < b == c for (a, b), (c, _) in pairwise(spans))
    assert spans[0][1] == (streaming.FIRST if steps >= 350 else steps)


@pytest.fixture(scope="module")
def tiny():
    mx.random.seed(0)
    config = Config.tiny()
    model = Model(config)
    style = mx.random.normal((1, 2 * config.style_dim)) * 0.1
    prosody = model.prosody([0, *range(1, 27), 0], style, 1.0)
    return model, prosody, style, model.draw_noise(prosody, mx.random.key(1))


def test_one_window_is_the_whole(tiny, monkeypatch):
    model, prosody, style, noise = tiny
    monkeypatch.setattr(streaming, "FIRST", 10**6)
    (audio,) = decode_in_windows(model, prosody, style, noise)
    np.testing.assert_array_equal(np.array(audio), np.array(model.decode(prosody, style, model.excite(prosody, noise))))


@pytest.mark.parametrize("first", [30, 50, 111])
def test_windows_give_every_sample(tiny, monkeypatch, first):
    model, prosody, style, noise = tiny
    monkeypatch.setattr(streaming, "FIRST", first)
    pieces = list(decode_in_windows(model, prosody, style, noise))
    assert len(pieces) > 1
    audio = np.concatenate([np.array(piece) for piece in pieces])
    whole = np.array(model.decode(prosody, style, model.excite(prosody, noise)))
    assert audio.shape == whole.shape and np.isfinite(audio).all()


def test_windows_with_the_whole_ones_statistics_are_the_whole(tiny, monkeypatch):
    """Only the norms' statistics differ: with those of the whole, the windows and their seams disappear."""
    model, prosody, style, noise = tiny
    kept = []

    def record(x, eps, weight=None, bias=None):
        mean = x.mean(axis=1, keepdims=True)
        kept.append((mean, mx.square(x - mean).mean(axis=1, keepdims=True)))
        return normalise(x, *kept[-1], eps, weight, bias)

    def normalise(x, mean, variance, eps, weight, bias):
        return (x - mean) * mx.rsqrt(variance + eps) * weight + bias

    def snake(x, eps, weight, bias, alpha):
        return ops.snake(ops.instance_norm(x, eps, weight, bias), alpha)

    def leaky_relu(x, eps, weight, bias, negative_slope):
        return ops.leaky_relu(ops.instance_norm(x, eps, weight, bias), negative_slope)

    monkeypatch.setattr(ops, "instance_norm_snake", snake)
    monkeypatch.setattr(ops, "instance_norm_leaky_relu", leaky_relu)
    monkeypatch.setattr(ops, "instance_norm", record)
    whole = np.array(model.decode(prosody, style, model.excite(prosody, noise)))
    of_the_whole = kept[2 * (1 + len(model.decoder.decode)) :]  # without the norms of the first half
    queue = []

    def replay(x, eps, weight=None, bias=None):
        if not queue:
            queue.extend(of_the_whole)
        return normalise(x, *queue.pop(0), eps, weight, bias)

    features = Decoder.features

    def first_half(*inputs):
        x = features(*inputs)
        monkeypatch.setattr(ops, "instance_norm", replay)
        return x

    monkeypatch.setattr(Decoder, "features", first_half)
    monkeypatch.setattr(streaming, "FIRST", 50)
    audio = np.concatenate([np.array(piece) for piece in decode_in_windows(model, prosody, style, noise)])
    np.testing.assert_allclose(audio, whole, atol=1e-4 * np.abs(whole).max())
