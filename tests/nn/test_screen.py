"""nn/screen.py: the greatest logits found by an 8-bit copy are those of the weights, or there is no answer."""

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest

from pytorch_to_mlx.backend import native, ops
from pytorch_to_mlx.generate.options import GenerationOptions
from pytorch_to_mlx.generate.search import generate
from pytorch_to_mlx.generate.steps import DecoderSteps
from pytorch_to_mlx.models.marian.config import Config
from pytorch_to_mlx.models.marian.model import Model
from pytorch_to_mlx.nn import screen
from pytorch_to_mlx.nn.output import OutputLayer
from pytorch_to_mlx.nn.screen import Screen, screen_of

pytestmark = pytest.mark.skipif(native.kernels() is None, reason="screening is for the kernels")


def test_the_tokens_are_those_of_the_weights():
    mx.random.seed(0)
    weight, bias = mx.random.normal((9000, 128)), mx.random.normal((9000,))
    copy, answers = Screen.of(weight), 0
    for count in (1, 2, 4) * 30:
        x = mx.random.normal((1, 128))
        logits, ids, _ = map(np.array, ops.linear_topk(x, weight, bias, count=count))
        best = copy.best(x, bias, count)
        if best is not None:
            answers += 1
            assert best[1].tolist() == ids.tolist() and best[0].dtype == np.float32
            np.testing.assert_allclose(best[0], logits, rtol=2e-6)
    assert answers > 60


def test_no_answer_where_the_copy_cannot_tell():
    mx.random.seed(1)
    weight = mx.random.normal((300, 64))
    x = 3 * weight[7:8]
    best = Screen.of(weight).best(x, None, 1)
    assert best is not None and best[1].tolist() == [[7]]
    twin = mx.array(weight)
    twin[200] = twin[7]  # an exact tie, which the order of a sum decides
    assert Screen.of(twin).best(x, None, 1) is None
    crowd = mx.broadcast_to(weight[7], (300, 64)) + 1e-3 * mx.random.normal((300, 64))  # nearer than 8 bits tell
    assert Screen.of(crowd).best(x, None, 1) is None
    assert Screen.of(weight).best(x * float("nan"), None, 1) is None


def test_fewer_tokens_than_are_looked_at():
    mx.random.seed(2)
    weight, x = mx.random.normal((5, 64)), mx.random.normal((1, 64))
    expected = np.argsort(-np.array(x @ weight.T)[0])[:2].tolist()
    best = Screen.of(weight).best(x, None, 2)
    assert best is None or best[1][0].tolist() == expected


def test_the_error_bounds_every_logit():
    mx.random.seed(3)
    weight = mx.random.normal((500, 64)) * mx.random.uniform(0.01, 10, (500, 1))
    copy = Screen.of(weight)
    off = weight - mx.dequantize(*copy.packed, group_size=64, bits=8)
    for x in (mx.random.normal((1, 64)), off[3:4], off[400:401]):  # also along the error of the copy itself
        copied = ops.quantized_topk(x, *copy.packed, None, count=500, group_size=64, bits=8)
        exact = np.array(x, np.float64) @ np.array(weight, np.float64).T
        worst = np.abs(np.array(copied[0])[0] - exact[0, np.array(copied[1])[0]]).max()
        assert worst <= float(mx.linalg.norm(x)) * copy.error


def test_made_when_it_pays_and_again_for_other_weights(monkeypatch):
    monkeypatch.setattr(screen, "LEAST_BYTES", 0)
    layer = nn.Embedding(70, 64)
    assert [screen_of(layer) for _ in range(screen.PAYS_FROM - 1)] == [None] * (screen.PAYS_FROM - 1)
    first = screen_of(layer)
    assert first is not None and screen_of(layer) is first
    layer.weight = layer.weight * 2
    again = screen_of(layer)
    assert again is not None and again is not first and again.weight is layer.weight
    assert list(layer.parameters()) == ["weight"]
    layer.weight = layer.weight.astype(mx.float16)
    assert screen_of(layer) is None
    assert OutputLayer(layer.to_quantized(64, 8)).best_of_row(mx.zeros((1, 64)), 1) is None


def test_small_layers_are_left_alone():
    assert all(screen_of(nn.Embedding(70, 64)) is None for _ in range(2 * screen.PAYS_FROM))


@pytest.mark.parametrize("sources", [[[5, 6, 7]], [[5, 6, 7], [9, 10, 11, 12, 13, 14]]])
@pytest.mark.parametrize("rules", [{}, {"bad_words_ids": ((3,),), "min_new_tokens": 4, "repetition_penalty": 1.3}])
def test_greedy_search_gives_the_same_sequences_and_scores(monkeypatch, sources, rules):
    mx.random.seed(0)
    sizes = {
        "vocab_size": 400, "d_model": 64, "encoder_layers": 1, "decoder_layers": 2, "encoder_attention_heads": 4,
        "decoder_attention_heads": 4, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64, "pad_token_id": 399,
        "decoder_start_token_id": 399, "eos_token_id": 0, "max_position_embeddings": 64, "activation_function": "relu",
    }  # fmt: skip
    model = Model(Config(**sizes))
    options = GenerationOptions(eos=(0,), max_length_factor=4, **rules)

    def search() -> list[tuple]:
        steps = DecoderSteps(model, sources, padding=399)
        found = generate(steps, sources, options, prompts=[[399]] * len(sources), most=64)
        return [(h.ids, h.score, h.log_prob) for hypotheses in found for h in hypotheses]

    expected = search()
    monkeypatch.setattr(screen, "LEAST_BYTES", 0)
    monkeypatch.setattr(screen, "PAYS_FROM", 1)
    answers = []
    best = Screen.best
    monkeypatch.setattr(Screen, "best", lambda *args: answers.append(best(*args)) or answers[-1])
    for (ids, score, log_prob), (own_ids, own_score, own_log_prob) in zip(expected, search(), strict=True):
        assert own_ids == ids
        np.testing.assert_allclose([own_score, own_log_prob], [score, log_prob], rtol=1e-5)
    assert any(answer is not None for answer in answers)
