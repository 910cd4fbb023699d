"""Version 1's language model and flow against the original's classes: tiny twins with seeded random weights."""

import json
from dataclasses import replace
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest
from models.cosyvoice.lm_cases_version1 import TINY, put_seeded_weights
from models.cosyvoice.twins_version1 import flow_inputs, flow_twins, mel_of, noise_of, through_rules, vocoder_twins
from parity import assert_close

from pytorch_to_mlx.errors import FormatError, UsageError
from pytorch_to_mlx.generate.sample import Sampler
from pytorch_to_mlx.models.cosyvoice.flow.regulated import RegulatedFlowConfig
from pytorch_to_mlx.models.cosyvoice.lm.decode_text import decode_text
from pytorch_to_mlx.models.cosyvoice.lm.transformer import TransformerLM
from pytorch_to_mlx.models.cosyvoice.lm.transformer_weights import TRANSFORMER_LM
from pytorch_to_mlx.models.cosyvoice.original.lm import lm_tokens
from pytorch_to_mlx.models.cosyvoice.original.version1 import (
    build_transformer_lm,
    flow_taps,
    lm_taps,
    vocoder_taps,
)
from pytorch_to_mlx.nn.stream import Stream
from pytorch_to_mlx.taps import record_taps

GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "cosyvoice1_lm.json").read_text())


def speaker_of(seed):
    return np.random.default_rng(seed).standard_normal((1, 192)).astype(np.float32)


@pytest.fixture(scope="module")
def original_lm():
    model = build_transformer_lm(TINY)
    put_seeded_weights(model)
    return model


@pytest.fixture(scope="module")
def lm(original_lm):
    return through_rules(TransformerLM(TINY), TRANSFORMER_LM, original_lm)


@pytest.mark.parametrize(
    ("text", "speech", "speaker"),
    [([3, 5, 7, 100, 50], list(range(20)), 0), ([9], [], None), ([1] * 40, [2] * 60, 1)],
    ids=["a prompt", "shortest, no speaker", "longer"],
)
def test_teacher_forced_sequence(lm, original_lm, text, speech, speaker):
    speaker = None if speaker is None else speaker_of(speaker)
    narrow, wide = lm_taps(original_lm, text, speech, speaker), lm_taps(original_lm.double(), text, speech, speaker)
    lm_taps(original_lm.float(), text, speech, speaker)
    hidden = lm(lm.embed_prompt(text, speech, None if speaker is None else mx.array(speaker)))
    assert_close(hidden, narrow["lm_hidden"], wide["lm_hidden"])
    assert_close(lm.logits(hidden), narrow["lm_logits"], wide["lm_logits"])


def test_cache_gives_what_the_whole_gives(lm):
    x = lm.embed_prompt([3, 5, 7], list(range(20)) * 20)
    whole = np.array(lm(x))
    cache, parts, start = lm.new_cache(), [], 0
    for end in (7, 8, 9, 250, 300, x.shape[1]):
        parts.append(np.array(lm(x[:, start:end], cache)))
        start = end
    np.testing.assert_allclose(np.concatenate(parts, axis=1), whole, atol=3e-6 * np.abs(whole).max())


def said(lm, case, **options):
    prompt = {name: case[name] for name in ("prompt_text", "prompt_speech")}
    speaker = mx.array([case["speaker"]]) if case["speaker"] else None
    return list(decode_text(lm, case["text"], **prompt, speaker=speaker, as_original=True, **options))


@pytest.mark.parametrize("case", GOLDEN[:2] + GOLDEN[4:6], ids=lambda case: f"seed {case['seed']}")
def test_greedy_tokens_are_the_packaged_original_s(lm, original_lm, case):
    prompt = {name: case[name] for name in ("prompt_text", "prompt_speech")}
    speaker = np.array(case["speaker"], np.float32).reshape(-1, 192)
    theirs = lm_tokens(original_lm, case["text"], **prompt, uniform=None, speaker=speaker)
    assert said(lm, case, sampler=Sampler(temperature=0), min_ratio=0) == theirs


@pytest.mark.parametrize("case", GOLDEN, ids=lambda case: f"seed {case['seed']}, {len(case['text'])} words")
def test_drawn_tokens_are_the_original_s(lm, case):
    assert said(lm, case, uniform=np.random.default_rng(case["seed"]).random) == case["tokens"]


@pytest.mark.parametrize(("text", "speech"), [([120], []), ([-1], []), ([1], [27])])
def test_ids_outside_the_vocabulary(lm, text, speech):
    with pytest.raises(FormatError, match="is outside the model's 0 to"):
        lm.embed_prompt(text, speech)


@pytest.fixture(scope="module", params=[50, 25], ids=["50 Hz", "25 Hz"])
def flows(request):
    return flow_twins(replace(RegulatedFlowConfig.tiny(), token_rate=request.param))


@pytest.mark.parametrize(
    ("tokens", "prompt", "frames"),
    [(75, 60, None), (40, 0, None), (41, 9, None), (2, 1, 2), (60, 31, 70)],
    ids=["whole", "no prompt", "shortest with a middle", "shortest", "prompts of different lengths"],
)
def test_flow(flows, tokens, prompt, frames):
    ours, *twins = flows
    inputs = flow_inputs(tokens, prompt, frames=frames, rate=ours.config.token_rate)
    noise = noise_of(inputs["prompt_mel"].shape[1] + ours.config.frames(tokens))
    (narrow, _), (wide, _) = (flow_taps(twin, inputs | {"flow_noise": noise}) for twin in twins)
    with record_taps() as got:
        ours(*map(mx.array, inputs.values()), noise=mx.array(noise))
    for name in ("encoder", "regulator", *(f"step {i}" for i in range(1, 11)), "mel"):
        assert_close(got[name], narrow[name], wide[name], name=name)
    assert got["mel"].shape[1] == ours.config.frames(tokens)
    assert 0.3 < got["mel"].std() < 3


def test_a_token_outside_the_vocabulary(flows):
    _, *rest = map(mx.array, flow_inputs(4, 3).values())
    with pytest.raises(UsageError, match="speech token 4096 is not under 4096"):
        flows[0](mx.array([[4096]]), *rest, noise=mx.zeros((1, 100, 80)))


@pytest.fixture(scope="module")
def vocoders():
    return vocoder_twins()


@pytest.mark.parametrize("frames", [3, 61])
def test_vocoder(vocoders, frames):
    """Pitch; the source for the same pitch; the audio for the same source."""
    ours, *twins = vocoders
    mel, noise = mel_of(frames), np.array(ours.noise(1)(0, frames * 256))
    phases = ours.source.initial_phases[:9]
    narrow = vocoder_taps(twins[0], mel, noise, phases, {})
    wide = vocoder_taps(twins[1], mel, noise, phases, narrow)
    assert_close(ours.f0_predictor(mx.array(mel), Stream()), narrow["f0"], wide["f0"], name="f0")
    assert frames < 10 or ((narrow["f0"] > 10).any() and (narrow["f0"] < 10).any())
    source = ours.source(mx.array(narrow["f0"]), mx.array(noise))
    assert_close(source, narrow["source"], name="source")
    audio = ours.decode(mx.array(mel), mx.array(narrow["source"]), Stream())
    assert_close(audio, narrow["audio"], wide["audio"], name="audio")
    assert audio.shape == (1, frames * 256) and 0.001 < np.array(audio).std() < 0.6
