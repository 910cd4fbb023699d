"""Version 1's language model and flow against the original's classes: tiny twins with seeded random weights."""

import json
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import mlx.core as mx
import numpy as np
import pytest
import torch
from models.cosyvoice.lm_cases_version1 import TINY, put_seeded_weights
from models.cosyvoice.release import random_state
from parity import assert_close

from pytorch_to_mlx.errors import FormatError, UsageError
from pytorch_to_mlx.generate.sample import Sampler
from pytorch_to_mlx.models.cosyvoice.flow.regulated import RegulatedFlow, RegulatedFlowConfig
from pytorch_to_mlx.models.cosyvoice.flow.regulated_weights import REGULATED_FLOW
from pytorch_to_mlx.models.cosyvoice.lm.decode_text import decode_text
from pytorch_to_mlx.models.cosyvoice.lm.transformer import TransformerLM
from pytorch_to_mlx.models.cosyvoice.lm.transformer_weights import TRANSFORMER_LM
from pytorch_to_mlx.models.cosyvoice.original.lm import lm_tokens
from pytorch_to_mlx.models.cosyvoice.original.taps import masks_in_float64
from pytorch_to_mlx.models.cosyvoice.original.version1 import build_regulated_flow, build_transformer_lm
from pytorch_to_mlx.taps import record_taps
from pytorch_to_mlx.weights import WeightMap, apply, load_into

GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "cosyvoice1_lm.json").read_text())
TINY_FLOW = RegulatedFlowConfig.tiny()


def seeded(model, seed=0):
    """The model with seeded weights of a size that suits their place."""
    shapes = ((name, tuple(value.shape)) for name, value in model.state_dict().items())
    state = random_state(shapes, np.random.default_rng(seed))
    model.load_state_dict({name: torch.from_numpy(array) for name, array in state.items()})
    return model.eval()


def through_rules(model, rules, twin):
    state = {name: mx.array(value.numpy()) for name, value in twin.state_dict().items()}
    return load_into(model, apply(WeightMap(*rules), state).weights)


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


def lm_taps(model, text, speech, speaker):
    """The original's hidden states and logits of the sequence sos, speaker, text, task, speech."""
    dtype = model.llm_decoder.weight.dtype
    for encoder in (model.llm, model.text_encoder):
        encoder.embed.pos_enc.pe = encoder.embed.pos_enc.pe.to(dtype)
    with torch.no_grad():
        words = model.text_embedding(torch.tensor([text]))
        encoded, _ = model.encode(words, torch.tensor([len(text)]))
        rows = [model.llm_embedding.weight[None, :1], encoded, model.llm_embedding.weight[None, 1:]]
        if speaker is not None:
            voice = torch.nn.functional.normalize(torch.from_numpy(speaker).to(dtype), dim=1)
            rows.insert(1, model.spk_embed_affine_layer(voice)[None])
        rows.append(model.speech_embedding(torch.tensor([speech], dtype=torch.int64)))
        x = torch.cat(rows, dim=1)
        hidden, _ = model.llm(x, torch.tensor([x.shape[1]]))
        return hidden.numpy(), model.llm_decoder(hidden).numpy()


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
    assert_close(hidden, narrow[0], wide[0])
    assert_close(lm.logits(hidden), narrow[1], wide[1])


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
    """Ours, and the original in float32 and in float64."""
    config = replace(TINY_FLOW, token_rate=request.param)
    narrow, wide = seeded(build_regulated_flow(config)), seeded(build_regulated_flow(config)).double()
    wide.encoder.embed.pos_enc.pe = wide.encoder.embed.pos_enc.pe.double()
    return through_rules(RegulatedFlow(config), REGULATED_FLOW, narrow), narrow, wide


def flow_inputs(tokens, prompt, seed=0, frames=None, rate=50):
    rng = np.random.default_rng(seed)
    frames = int(prompt / rate * 22050 / 256) if frames is None else frames
    return (
        rng.integers(0, 4096, (1, tokens)),
        rng.integers(0, 4096, (1, prompt)),
        rng.standard_normal((1, frames, 80)).astype(np.float32),
        rng.standard_normal((1, 192)).astype(np.float32),
    )


def torch_flow(twin, inputs, noise, cache=None):
    """The original's taps, features last, and its new cache."""
    taps, dtype = {}, twin.encoder_proj.weight.dtype
    tokens, prompt, mel, speaker = map(torch.from_numpy, inputs)

    def before(_, args):
        taps[f"step {sum(name.startswith('step') for name in taps)}"] = args[0][:1].transpose(1, 2).clone().numpy()

    hooks = [
        twin.encoder_proj.register_forward_hook(lambda _, args, y: taps.update(encoder=y.numpy())),
        twin.length_regulator.model.register_forward_hook(
            lambda _, args, y: taps.update(regulator=y.transpose(1, 2).clone().numpy())
        ),
        twin.decoder.estimator.register_forward_pre_hook(before),
    ]
    drawn = torch.from_numpy(noise).transpose(1, 2)
    cache = torch.zeros(1, 80, 0, 2) if cache is None else cache
    solve = twin.decoder.solve_euler

    def in_dtype(x, t_span, mu, mask, spks, cond, **more):
        return solve(x.to(dtype), t_span.to(dtype), mu, mask, spks, cond, **more)

    with (
        masks_in_float64(),
        patch.object(torch, "randn_like", lambda x: drawn[:, :, : x.shape[2]].to(x.dtype).clone()),
        patch.object(twin.decoder, "solve_euler", in_dtype),
    ):
        y, cache = twin.inference(
            tokens, torch.tensor([tokens.shape[1]]), prompt, torch.tensor([prompt.shape[1]]), mel.to(dtype),
            torch.tensor([mel.shape[1]]), speaker.to(dtype), cache.to(dtype),
        )  # fmt: skip
    for hook in hooks:
        hook.remove()
    return taps | {"mel": y.transpose(1, 2).numpy()}, cache


def noise_of(frames, seed=7):
    return np.random.default_rng(seed).standard_normal((1, frames, 80)).astype(np.float32)


@pytest.mark.parametrize(
    ("tokens", "prompt", "frames"),
    [(75, 60, None), (40, 0, None), (41, 9, None), (2, 1, 2), (60, 31, 70)],
    ids=["whole", "no prompt", "shortest with a middle", "shortest", "prompts of different lengths"],
)
def test_flow(flows, tokens, prompt, frames):
    ours, *twins = flows
    inputs = flow_inputs(tokens, prompt, frames=frames, rate=ours.config.token_rate)
    noise = noise_of(inputs[2].shape[1] + ours.config.frames(tokens))
    (narrow, _), (wide, _) = (torch_flow(twin, inputs, noise) for twin in twins)
    with record_taps() as got:
        ours(*map(mx.array, inputs), noise=mx.array(noise))
    for name in ("encoder", "regulator", *(f"step {i}" for i in range(1, 10)), "mel"):
        assert_close(got[name], narrow[name], wide[name], name=name)
    assert got["mel"].shape[1] == ours.config.frames(tokens)
    assert 0.3 < got["mel"].std() < 3


def test_a_token_outside_the_vocabulary(flows):
    _, *rest = map(mx.array, flow_inputs(4, 3))
    with pytest.raises(UsageError, match="speech token 4096 is not under 4096"):
        flows[0](mx.array([[4096]]), *rest, noise=mx.zeros((1, 100, 80)))
