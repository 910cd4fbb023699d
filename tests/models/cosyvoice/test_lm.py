"""The language model beside the packaged original, and what the current original said (tests/golden)."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest
import torch
from models.cosyvoice.lm_cases import CASES, TINY, put_seeded_weights
from parity import assert_close

from pytorch_to_mlx.errors import CheckError, FormatError
from pytorch_to_mlx.generate.sample import Sampler
from pytorch_to_mlx.models.cosyvoice.lm.config import LMConfig
from pytorch_to_mlx.models.cosyvoice.lm.decoding import speech_tokens, speech_tokens_of_stream
from pytorch_to_mlx.models.cosyvoice.lm.qwen2 import Qwen2LM
from pytorch_to_mlx.models.cosyvoice.lm.weights import LM
from pytorch_to_mlx.models.cosyvoice.original.imports import original as original_modules
from pytorch_to_mlx.models.cosyvoice.original.lm import build_lm, draws_as_released, lm_taps, lm_tokens
from pytorch_to_mlx.weights import WeightMap, apply, load_into

GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "cosyvoice_lm.json").read_text())


@pytest.fixture(scope="module")
def original():
    model = build_lm(TINY)
    put_seeded_weights(model)
    return model


@pytest.fixture(scope="module")
def lm(original):
    state = {name: mx.array(value.numpy()) for name, value in original.state_dict().items()}
    return load_into(Qwen2LM(TINY), apply(WeightMap(*LM), state).weights)


@pytest.mark.parametrize(("text", "speech"), [([3, 5, 7, 100, 50], list(range(20))), ([9], []), ([1] * 40, [2] * 60)])
def test_teacher_forced_sequence(lm, original, text, speech):
    narrow = lm_taps(original, text, speech)
    wide = lm_taps(original.double(), text, speech)
    original.float()
    hidden = lm(lm.prompt(text, speech))
    assert_close(hidden, narrow["lm_hidden"], wide["lm_hidden"])
    assert_close(lm.logits(hidden), narrow["lm_logits"], wide["lm_logits"])


def test_cache_gives_what_the_whole_gives(lm):
    x = lm.prompt([3, 5, 7], list(range(20)) * 20)
    whole = np.array(lm(x))
    cache = lm.start()
    parts, start = [], 0
    for end in (7, 8, 9, 250, 300, x.shape[1]):
        parts.append(np.array(lm(x[:, start:end], cache)))
        start = end
    np.testing.assert_allclose(np.concatenate(parts, axis=1), whole, atol=3e-6 * np.abs(whole).max())


@pytest.mark.parametrize("case", CASES[:5], ids=str)
def test_greedy_tokens_are_the_original_s(lm, original, case):
    prompt = {name: case[name] for name in ("prompt_text", "prompt_speech")}
    ours = list(speech_tokens(lm, case["text"], **prompt, sampler=Sampler(temperature=0), as_original=True))
    assert ours == lm_tokens(original, case["text"], **prompt, uniform=None)


@pytest.mark.parametrize("case", GOLDEN, ids=lambda case: f"seed {case['seed']}, {len(case['text'])} words")
def test_drawn_tokens_are_the_original_s(lm, case):
    prompt = {name: case[name] for name in ("prompt_text", "prompt_speech")}
    whole = speech_tokens(
        lm, case["text"], **prompt, uniform=np.random.default_rng(case["seed"]).random, as_original=True
    )
    assert list(whole) == case["whole"]
    stream = speech_tokens_of_stream(
        lm, iter(case["text"]), **prompt, uniform=np.random.default_rng(case["seed"]).random, as_original=True
    )
    if isinstance(case["stream"], list):
        assert list(stream) == case["stream"]
    else:
        with pytest.raises(CheckError, match="no place in speech"):
            list(stream)


def test_the_package_draws_otherwise(monkeypatch):
    """So `validate` does not compare drawn tokens with it."""
    assert not draws_as_released()
    (common,) = original_modules("cosyvoice.utils.common")

    def as_at_ace7c47(scores, decoded, sampling):
        top = common.nucleus_sampling(scores)
        if int(top) in decoded[-10:]:
            scores[top] = -float("inf")
            top = common.random_sampling(scores, decoded, sampling)
        return top

    monkeypatch.setattr(common, "ras_sampling", as_at_ace7c47)
    assert draws_as_released()


@pytest.mark.parametrize("case", CASES[10:13], ids=str)
def test_drawn_tokens_are_the_packaged_original_s(original, case):
    """Without special ids and repetitions: with both, cosyvoice2-eu draws again where the current original forbids."""
    prompt = {name: case[name] for name in ("prompt_text", "prompt_speech")}
    config = replace(TINY, tau_r=1.0)
    silent = build_lm(config)
    silent.load_state_dict(original.state_dict())
    with torch.no_grad():
        silent.llm_decoder.bias[-3:] -= 100
    state = {name: mx.array(value.numpy()) for name, value in silent.state_dict().items()}
    lm = load_into(Qwen2LM(config), apply(WeightMap(*LM), state).weights)
    theirs = lm_tokens(silent, case["text"], **prompt, uniform=np.random.default_rng(case["seed"]).random)
    assert len(theirs) == 20 * len(case["text"])
    assert theirs == list(speech_tokens(lm, case["text"], **prompt, uniform=np.random.default_rng(case["seed"]).random))


@pytest.mark.parametrize("case", CASES[5:15], ids=str)
def test_by_default_nothing_but_speech_is_said(lm, case):
    prompt = {name: case[name] for name in ("prompt_text", "prompt_speech")}
    for way in (speech_tokens, speech_tokens_of_stream):
        said = list(way(lm, case["text"], **prompt, uniform=np.random.default_rng(case["seed"]).random))
        assert max(said, default=0) < TINY.speech_token_size
        again = list(way(lm, case["text"], **prompt, uniform=np.random.default_rng(case["seed"]).random))
        assert said == again
    assert len(list(speech_tokens(lm, case["text"], **prompt))) >= 2 * len(case["text"])


def test_text_that_is_still_being_written_is_spoken_at_once(lm):
    """The first speech comes when five words are there, not when the text has ended."""
    read = []

    def words():
        for word in range(12):
            read.append(word)
            yield word

    next(speech_tokens_of_stream(lm, words()))
    assert len(read) == 5


@pytest.mark.parametrize(("ids", "what"), [([120], "text token 120"), ([-1], "text token -1")])
def test_ids_outside_the_model_are_refused(lm, ids, what):
    with pytest.raises(FormatError, match=what):
        lm.prompt(ids, [])
    with pytest.raises(FormatError, match="speech token 30"):
        lm.speech([30])


@pytest.mark.parametrize(
    "wrong", [{"num_attention_heads": 3}, {"num_key_value_heads": 3}, {"hidden_size": 12}], ids=str
)
def test_sizes_that_contradict_each_other_are_refused(wrong):
    from pytorch_to_mlx.config import from_dict

    with pytest.raises(FormatError):
        from_dict(LMConfig, {**asdict(TINY), **wrong})
