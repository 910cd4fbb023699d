"""Heads: padding, layers, losses and pitch, on tiny sizes."""

import json

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
import torch
from mlx.utils import tree_flatten

from pytorch_to_mlx.errors import FormatError
from pytorch_to_mlx.heads.config import LOWEST_PITCH_HZ, PITCH_CLASSES, Config, Output
from pytorch_to_mlx.heads.losses import NO_LABEL, head_loss, output_loss
from pytorch_to_mlx.heads.model import Block, ClipOutput, Head, Keys, LayerMix
from pytorch_to_mlx.heads.pitch import HIGHEST_PITCH_HZ, decode_pitch, soft_labels

OUTPUTS = (
    Output("text", "ctc", ("a", "b", " "), "character"),
    Output("pitch", "pitch"),
    Output("singing", "frames", ("speech", "singing")),
    Output("language", "clip", ("en", "ru", "cs")),
)
CONFIG = Config("0" * 64, 8, (0, 2), 6, 2, OUTPUTS)


@pytest.fixture
def head():
    head = Head(CONFIG)
    head.mix.weight = mx.array([0.3, -0.2])
    return head


def features(n_frames, batch=1, seed=0):
    return mx.array(np.random.default_rng(seed).standard_normal((batch, n_frames, 2, 8), dtype=np.float32))


def test_padded_rows_answer_as_alone(head):
    short, long = features(7), features(12, seed=1)
    padded = mx.pad(short, ((0, 0), (0, 5), (0, 0), (0, 0)), constant_values=9.0)
    both = head(mx.concatenate([padded, long]), mx.array([7, 12]))
    for row, (alone, length) in enumerate([(short, 7), (long, 12)]):
        for name, logits in head(alone, mx.array([length])).items():
            expected = np.array(both[name][row])
            np.testing.assert_allclose(
                np.array(logits)[0], expected[:length] if logits.ndim == 3 else expected, atol=1e-5
            )


def test_sizes_of_the_answers(head):
    shapes = {name: logits.shape for name, logits in head(features(5, 3), mx.array([5, 5, 1])).items()}
    assert shapes == {"text": (3, 5, 4), "pitch": (3, 5, 271), "singing": (3, 5, 2), "language": (3, 3)}


def test_a_block_is_a_convolution_over_five_frames():
    block, x = Block(6), features(9)[:, :, 0, :6]
    norm = torch.nn.functional.layer_norm(torch.tensor(np.array(x)), (6,))
    weight = torch.tensor(np.array(block.conv.weight)).reshape(6, 5, 6).transpose(1, 2)
    y = torch.nn.functional.conv1d(norm.transpose(1, 2), weight, torch.tensor(np.array(block.conv.bias)), padding=2)
    y = torch.nn.functional.gelu(y).transpose(1, 2)
    expected = np.array(x) + (y @ torch.tensor(np.array(block.out.weight)).T).numpy() + np.array(block.out.bias)
    np.testing.assert_allclose(np.array(block(x, mx.ones((1, 9, 1)), Keys())), expected, atol=1e-5)


def test_layers_are_mixed_by_their_softmax():
    mix, x = LayerMix(2), features(3)
    mix.weight = mx.log(mx.array([3.0, 1.0]))
    np.testing.assert_allclose(np.array(mix(x)), np.array(0.75 * x[:, :, 0] + 0.25 * x[:, :, 1]), atol=1e-6)


def test_attention_pools_mean_and_deviation():
    pool, x = ClipOutput(8, 3), features(6)[:, :, 0]
    mask = (mx.arange(6) < 4).astype(mx.float32)[None, :, None]
    rows = np.array(x)[0, :4]
    scores = np.array(pool.attention(x))[0, :4]
    weights = np.exp(scores) / np.exp(scores).sum()
    mean = (weights * rows).sum(0)
    statistics = np.concatenate([mean, np.sqrt((weights * rows**2).sum(0) - mean**2 + 1e-6)])
    expected = statistics @ np.array(pool.out.weight).T + np.array(pool.out.bias)
    np.testing.assert_allclose(np.array(pool(x, mask))[0], expected, atol=1e-4)


def test_dropout_follows_its_key(head):
    x, lengths = features(9), mx.array([9])
    one, same, other = (np.array(head(x, lengths, mx.random.key(seed))["text"]) for seed in (1, 1, 2))
    assert np.array_equal(one, same) and not np.array_equal(one, other)
    dropped = np.array(Keys(mx.random.key(0)).dropout(mx.ones(10_000)))
    assert sorted(set(dropped.tolist())) == pytest.approx([0, 1 / 0.9]) and (dropped == 0).mean() == pytest.approx(
        0.1, abs=0.02
    )


TARGETS = {
    "text": [[1, 2], None],
    "pitch": [np.array([0.0, 220.0, 221.0, np.nan]), None],
    "singing": [None, np.array([1, NO_LABEL, 0])],
    "language": [2, 0],
}


def test_the_loss_of_several_outputs_is_their_scaled_sum(head):
    lengths = [4, 3]
    logits = head(features(4, 2), mx.array(lengths))
    scales = mx.array([0.1, -0.2, 0.3, 0.4])
    own = [output_loss(output, logits[output.name], TARGETS[output.name], lengths).item() for output in OUTPUTS]
    expected = sum(np.exp(-s) * loss + s for s, loss in zip(scales.tolist(), own, strict=True))
    assert head_loss(CONFIG, scales, logits, TARGETS, lengths).item() == pytest.approx(expected, rel=1e-5)
    one = Config("0" * 64, 8, (0,), 6, 2, OUTPUTS[3:])
    assert head_loss(one, mx.array([5.0]), logits, TARGETS, lengths).item() == pytest.approx(own[3], rel=1e-6)


def test_rows_without_labels_have_no_gradient(head):
    lengths = [4, 3]

    def loss(module, x):
        return head_loss(CONFIG, module.loss_scales, module(x, mx.array(lengths)), TARGETS, lengths)

    x = features(4, 2)
    gradient = mx.grad(lambda x: loss(head, x))(x)
    assert np.array(gradient[1, 3]).any() == np.False_ and np.array(gradient[0]).any()
    _, gradients = nn.value_and_grad(head, loss)(head, x)
    assert all(np.isfinite(np.array(g)).all() for _, g in tree_flatten(gradients))
    nothing = {output.name: [None, None] for output in OUTPUTS}
    assert head_loss(CONFIG, head.loss_scales, head(x, mx.array(lengths)), nothing, lengths).item() == 0.0
    blank_frames = [np.full(4, NO_LABEL), np.full(3, NO_LABEL)]
    assert output_loss(OUTPUTS[2], mx.zeros((2, 4, 2)), blank_frames, lengths) is None
    assert output_loss(OUTPUTS[1], mx.zeros((2, 4, 271)), [np.full(4, np.nan)] * 2, lengths) is None


def test_losses_are_pytorchs():
    random = np.random.default_rng(3)
    logits = random.standard_normal((2, 4, 2)).astype(np.float32)
    labels = [np.array([0, 1, NO_LABEL, 1]), np.array([1, 0])]
    padded = torch.tensor([[0, 1, -1, 1], [1, 0, -1, -1]])
    expected = torch.nn.functional.cross_entropy(torch.tensor(logits).transpose(1, 2), padded, ignore_index=-1)
    assert output_loss(OUTPUTS[2], mx.array(logits), labels, [4, 2]).item() == pytest.approx(expected.item(), rel=1e-5)
    clip = random.standard_normal((2, 3)).astype(np.float32)
    expected = torch.nn.functional.cross_entropy(torch.tensor(clip), torch.tensor([2, 0]))
    assert output_loss(OUTPUTS[3], mx.array(clip), [2, 0], []).item() == pytest.approx(expected.item(), rel=1e-5)
    scores = random.standard_normal((1, 3, 271)).astype(np.float32)
    f0 = np.array([110.0, 0.0, 440.0])
    voicing = torch.nn.functional.binary_cross_entropy_with_logits(
        torch.tensor(scores[0, :, -1]), torch.tensor([1.0, 0.0, 1.0])
    )
    classes = torch.nn.functional.cross_entropy(
        torch.tensor(scores[0, [0, 2], :-1]), torch.tensor(soft_labels(f0)[[0, 2]])
    )
    expected = (voicing + classes).item()
    assert output_loss(OUTPUTS[1], mx.array(scores), [f0], [3]).item() == pytest.approx(expected, rel=1e-5)


def test_pitch_survives_its_labels():
    f0 = np.array([60.0, 110.0, 220.5, 441.7, 999.0])
    with np.errstate(divide="ignore"):
        logits = np.log(np.maximum(soft_labels(f0), 1e-12))
    decoded, voicing = decode_pitch(np.concatenate([logits, [[9], [9], [9], [-9], [0]]], axis=1))
    assert np.abs(1200 * np.log2(decoded / f0)).max() < 1.0
    assert (voicing > 0.5).tolist() == [True, True, True, False, False]
    np.testing.assert_allclose(soft_labels(f0).sum(-1), 1, rtol=1e-6)
    outside = np.array([0.0, np.nan, LOWEST_PITCH_HZ / 1.01, HIGHEST_PITCH_HZ * 1.01])
    assert not soft_labels(outside).any()
    edges = np.full((2, PITCH_CLASSES + 1), -50.0)
    edges[0, 0] = edges[1, -2] = 50.0
    np.testing.assert_allclose(decode_pitch(edges)[0], [LOWEST_PITCH_HZ, HIGHEST_PITCH_HZ], rtol=1e-9)


def test_config_is_read_back():
    assert Config.from_dict(json.loads(json.dumps(CONFIG.to_dict())), "head") == CONFIG


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layers": [2, 0]}, "not increasing"),
        ({"layers": [-1]}, "below the minimum"),
        ({"outputs": []}, "needs outputs"),
        ({"outputs": [{"name": "a", "kind": "ctc"}]}, "has 0 labels"),
        ({"outputs": [{"name": "a", "kind": "pitch", "labels": ["a"]}]}, "has 1 labels"),
        ({"outputs": [{"name": "a", "kind": "ctc", "labels": ["a"]}]}, "has the unit ''"),
        ({"outputs": [{"name": "a", "kind": "clip", "labels": ["x", "x"]}]}, "a label twice"),
        ({"outputs": [{"name": "a", "kind": "other"}]}, "supported"),
        ({"outputs": [{"name": "a", "kind": "pitch"}] * 2}, "a name of its own"),
        ({"hidden_size": 10**9}, "above the maximum"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_damaged_configs(change, message):
    with pytest.raises(FormatError, match=message):
        Config.from_dict({**CONFIG.to_dict(), **change}, "head")
