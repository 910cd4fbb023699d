"""The networks of CosyVoice 3 in pieces, and against vectors of the original (tests/golden/make_cosyvoice3.py)."""

from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest
from models.cosyvoice.version3_cases import (
    FLOW_CASES,
    HIFT_FRAMES,
    LM_CASES,
    LM_TINY,
    MAX_RATIO,
    NOISE_PLACES,
    flow_inputs,
    flow_tiny_state,
    hift_tiny_state,
    lm_state,
    mel_of,
)
from parity import assert_close

from pytorch_to_mlx.errors import CheckError
from pytorch_to_mlx.generate.sample import Sampler
from pytorch_to_mlx.models.cosyvoice.config import Config3
from pytorch_to_mlx.models.cosyvoice.flow.dit_flow import DiTFlow, DiTFlowConfig
from pytorch_to_mlx.models.cosyvoice.flow.stream import FlowStream, bytes_per_frame
from pytorch_to_mlx.models.cosyvoice.flow.weights import DIT_FLOW
from pytorch_to_mlx.models.cosyvoice.lm.decode_stream import decode_stream
from pytorch_to_mlx.models.cosyvoice.lm.decode_text import decode_text
from pytorch_to_mlx.models.cosyvoice.lm.decoder import shorten_silence
from pytorch_to_mlx.models.cosyvoice.lm.qwen2 import Qwen2LM
from pytorch_to_mlx.models.cosyvoice.lm.weights import MERGED_LM
from pytorch_to_mlx.models.cosyvoice.release.files import flow_noise
from pytorch_to_mlx.models.cosyvoice.versions import COSYVOICE3
from pytorch_to_mlx.models.cosyvoice.vocoder.causal_hift import CausalHift
from pytorch_to_mlx.models.cosyvoice.vocoder.stream import HiftStream, lookahead_frames
from pytorch_to_mlx.models.cosyvoice.vocoder.weights import CAUSAL_HIFT
from pytorch_to_mlx.nn.stream import Stream
from pytorch_to_mlx.taps import record_taps
from pytorch_to_mlx.weights import WeightMap, apply, load_into

TINY = Config3.tiny()
STEP = TINY.hift.samples_per_frame
GOLDEN = dict(np.load(Path(__file__).parents[2] / "golden" / "cosyvoice3.npz"))


def through(rules, module, state):
    return load_into(module, apply(WeightMap(*rules), {name: mx.array(a) for name, a in state.items()}).weights)


@pytest.fixture(scope="module")
def flow():
    return through(DIT_FLOW, DiTFlow(TINY.flow), flow_tiny_state())


@pytest.fixture(scope="module")
def hift():
    return through(CAUSAL_HIFT, CausalHift(TINY.hift), hift_tiny_state())


@pytest.fixture(scope="module")
def lm():
    return through(MERGED_LM, Qwen2LM(LM_TINY, COSYVOICE3.special), lm_state())


@pytest.mark.parametrize(("name", "tokens", "prompt", "streaming", "finalize"), FLOW_CASES)
def test_flow(flow, name, tokens, prompt, streaming, finalize):
    inputs = map(mx.array, flow_inputs(tokens, prompt))
    with record_taps() as taps:
        flow(*inputs, noise=flow_noise(80), streaming=streaming, finalize=finalize)
    for tap in ("step 1", "step 5", "mel"):
        assert_close(np.array(taps[tap])[:, ::3], GOLDEN[f"{name} {tap}"], GOLDEN[f"{name} {tap} wide"], name=tap)


@pytest.mark.parametrize("seed", range(50))
def test_flow_in_pieces_is_the_whole(flow, seed):
    rng = np.random.default_rng(seed)
    count, prompt = int(rng.integers(1, 90)), int(rng.integers(0, 70))
    tokens, *rest = map(mx.array, flow_inputs(count, prompt, seed))
    noise = mx.array(rng.standard_normal((1, 2 * (count + prompt), 80)).astype(np.float32))
    whole = flow(tokens, *rest, noise=noise, streaming=True, steps=2)
    stream, pieces, fed = FlowStream(flow, *rest, noise=noise, steps=2), [], 0
    while fed < count:
        size = int(rng.integers(1, 40))
        pieces.append(stream.feed(tokens[:, fed : fed + size]))
        fed += size
    got = mx.concatenate([*pieces, stream.finish()], axis=1)
    assert got.shape == whole.shape
    np.testing.assert_allclose(np.array(got), np.array(whole), rtol=0, atol=1e-5)


def test_memory_of_a_stream(flow):
    """What is announced is what the layers keep."""
    assert bytes_per_frame(DiTFlowConfig(), 10) == pytest.approx(3.6e6, rel=0.01)
    tokens, *rest = map(mx.array, flow_inputs(60, 20))
    stream = FlowStream(flow, *rest, noise=flow_noise(80), steps=3)
    stream.feed(tokens[:, :33])
    kept = [piece for step in stream._steps for m in step.memory if isinstance(m, tuple) for piece in m]
    assert sum(piece.nbytes for piece in kept) == 100 * bytes_per_frame(TINY.flow, 3)


def test_vocoder(hift):
    """Pitch; the source of the same pitch; the audio of the same source; all together."""
    mel = mx.array(mel_of(HIFT_FRAMES))
    noise = np.random.default_rng(9).random((1, HIFT_FRAMES * STEP, 9), dtype=np.float32)
    assert_close(hift.f0_predictor(mel, Stream()), GOLDEN["f0"], name="f0")
    assert (GOLDEN["f0"] > 10).any() and (GOLDEN["f0"] <= 10).any()
    source = np.array(hift.source(mx.array(GOLDEN["f0"]), mx.array(noise)))
    assert_close(source[:, ::7], GOLDEN["source"], name="source")
    audio = np.array(hift.decode(mel, mx.array(source), Stream()))[:, ::7]
    assert_close(audio, GOLDEN["audio"], GOLDEN["audio wide"], name="audio")
    assert np.abs(np.array(hift(mel, mx.array(noise)))[:, ::7] - GOLDEN["whole"]).max() < 3.3e-4
    assert 0.01 < audio.std() < 0.6


@pytest.mark.parametrize("seed", range(50))
def test_vocoder_in_pieces_is_the_whole(hift, seed):
    rng = np.random.default_rng(seed)
    frames = int(rng.integers(1, 100))
    mel, noise = mx.array(mel_of(frames, seed)), hift.noise(seed)
    whole = hift(mel, noise(0, frames * STEP))
    stream, pieces, fed, n_out = HiftStream(hift, hift.noise(seed)), [], 0, 0
    while fed < frames:
        count = int(rng.integers(1, 50))
        pieces.append(stream.feed(mel[:, fed : fed + count]))
        fed, n_out = min(frames, fed + count), n_out + pieces[-1].shape[1]
        if n_out:
            assert fed * STEP - n_out < lookahead_frames(TINY.hift) * STEP <= 8 * STEP, "no later than the original"
    got = mx.concatenate([*pieces, stream.finish()], axis=1)
    assert got.shape == whole.shape
    np.testing.assert_allclose(np.array(got), np.array(whole), rtol=0, atol=1e-6)


def test_the_fixed_noise_is_torch_s_bit_for_bit(hift):
    noise = hift.noise(0)
    for start, end in (*NOISE_PLACES, NOISE_PLACES[0]):
        np.testing.assert_array_equal(np.array(noise(start, end)), GOLDEN[f"noise {start}"])
    assert noise(7_200_000, 7_200_100).shape == (1, 100, 9), "there is noise beyond the original's 300 s"


def test_language_model(lm):
    case = LM_CASES[0]
    with record_taps() as taps:
        x = lm.embed_prompt([*case["prompt_text"], *case["text"]], case["prompt_speech"])
        lm.logits(lm(x))
    for name in ("lm_hidden", "lm_logits"):
        assert_close(taps[name], GOLDEN[name], GOLDEN[f"{name} wide"], name=name)


@pytest.mark.parametrize("number", range(len(LM_CASES)))
def test_tokens_are_the_original_s(lm, number):
    case = LM_CASES[number]
    prompt = {"prompt_text": case["prompt_text"], "prompt_speech": case["prompt_speech"], "as_original": True}
    whole = decode_text(
        lm, case["text"], uniform=np.random.default_rng(case["seed"]).random, max_ratio=MAX_RATIO, **prompt
    )
    assert list(whole) == GOLDEN[f"whole {number}"].tolist()
    if f"stream {number}" not in GOLDEN:  # the original's had no end
        return
    end = case["prompt_text"].index(LM_TINY.vocab_size - 2) + 1
    prompt |= {"system": case["prompt_text"][:end], "prompt_text": case["prompt_text"][end:]}
    stream = decode_stream(lm, case["text"], uniform=np.random.default_rng(case["seed"]).random, **prompt)
    expected = GOLDEN[f"stream {number}"].tolist()
    if expected == [-1]:
        with pytest.raises(CheckError, match="drew the special id"):
            list(stream)
    else:
        assert list(stream) == expected


def test_some_streams_of_the_original_end():
    assert sum(len(tokens) > 8 for name, tokens in GOLDEN.items() if name.startswith("stream")) >= 3


def test_the_minimum_length_holds(lm):
    """The original masks another id than the one that ends the speech."""
    case, greedy = LM_CASES[3], Sampler(temperature=0)
    lm.llm_decoder.weight = mx.array(np.array(lm.llm_decoder.weight))
    weight = np.array(lm.llm_decoder.weight)
    louder = weight.copy()
    louder[lm.eos] = 50 * weight[: lm.config.speech_token_size].mean(axis=0) + 3 * np.abs(weight).max()
    lm.llm_decoder.weight = mx.array(louder)
    try:
        options = {"prompt_text": case["prompt_text"], "sampler": greedy, "min_ratio": 8.0, "max_ratio": 10.0}
        assert len(list(decode_text(lm, case["text"], **options))) >= 8 * len(case["text"])
    finally:
        lm.llm_decoder.weight = mx.array(weight)


def test_long_silence_is_shortened():
    tokens = [7, 1, 1, 2, 28, 29, 55, 248, 8, 1, 1]
    assert list(shorten_silence(iter(tokens), COSYVOICE3.silent_tokens)) == [7, 1, 1, 2, 28, 29, 8, 1, 1]
