"""Version 1's streams: the flow's windows, the vocoder's pieces, and whole requests beside the packaged original.

Of the 50 random cases of each test all but one stand behind `-m full`.
"""

import time
import warnings
from dataclasses import replace
from types import SimpleNamespace
from unittest.mock import patch

import mlx.core as mx
import numpy as np
import pytest
import torch
from models.cosyvoice.twins_version1 import flow_inputs, flow_twins, mel_of, vocoder_twins

from pytorch_to_mlx.models.cosyvoice.config import Config1
from pytorch_to_mlx.models.cosyvoice.flow.regulated import RegulatedFlowConfig
from pytorch_to_mlx.models.cosyvoice.options import Options
from pytorch_to_mlx.models.cosyvoice.original.imports import original
from pytorch_to_mlx.models.cosyvoice.original.version1 import flow_taps
from pytorch_to_mlx.models.cosyvoice.overlap import FlowWindows, OverlapSynthesizer
from pytorch_to_mlx.models.cosyvoice.speakers import Speaker
from pytorch_to_mlx.models.cosyvoice.streaming import Clock
from pytorch_to_mlx.models.cosyvoice.vocoder.hift import normal_noise
from pytorch_to_mlx.models.cosyvoice.vocoder.sampled_hift import SampledSource
from pytorch_to_mlx.models.cosyvoice.vocoder.stream import HiftStream

SEEDS = [pytest.param(seed, marks=[pytest.mark.full] * (seed > 0)) for seed in range(50)]


@pytest.fixture(scope="module", params=[50, 25], ids=["50 Hz", "25 Hz"])
def flows(request):
    return flow_twins(replace(RegulatedFlowConfig.tiny(), token_rate=request.param))


@pytest.fixture(scope="module")
def vocoders():
    return vocoder_twins()


@pytest.fixture(scope="module")
def synthesizer(flows, vocoders):
    config = replace(
        Config1.tiny(),
        flow=flows[0].config,
        speech_tokenizer=replace(Config1.tiny().speech_tokenizer, stride=100 // (2 * flows[0].config.token_rate)),
    )
    model = SimpleNamespace(flow=flows[0], hift=vocoders[0], config=config, lm=None)
    return OverlapSynthesizer(model, SimpleNamespace(encode=list))


def request_of(seed, rate):
    """Random tokens of up to 9 s, and a speaker with a recording of up to 2.4 s, or with none."""
    rng = np.random.default_rng(seed)
    count, prompt = int(rng.integers(1, 9 * rate)), int(rng.integers(0, 60))
    inputs = flow_inputs(count, prompt, seed, rate=rate)
    prompt_tokens = tuple(inputs["prompt_tokens"][0].tolist())
    return inputs, Speaker(mx.array(inputs["speaker"]), mx.array(inputs["prompt_mel"]), prompt_tokens)


def speak(synthesizer, inputs, speaker, **options):
    """The pieces of one request whose language model says these tokens."""
    said = inputs["tokens"][0].tolist()
    with patch("pytorch_to_mlx.models.cosyvoice.synthesis.decode_text", lambda *_, **__: iter(said)):
        pieces = synthesizer.speak("text", speaker, Options(stream=True, **options), Clock())
        return [piece.audio for piece in pieces]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_stream_is_the_whole_mel_at_once(synthesizer, seed):
    """All windows' mels in one call of the vocoder give the same audio; and request 2 is request 0."""
    rate = synthesizer.model.config.flow.token_rate
    inputs, speaker = request_of(seed, rate)
    options = Options(stream=True, seed=seed, steps=3)
    pieces = speak(synthesizer, inputs, speaker, seed=seed, steps=3)
    windows = FlowWindows(synthesizer.model.flow, speaker, normal_noise(seed + 2**33, 100, 80), options)
    mel = mx.concatenate([mel for mel, _ in windows.mels(iter(inputs["tokens"][0].tolist()), Clock())], axis=1)
    hift = synthesizer.model.hift
    whole = np.array(hift(mel, hift.noise(seed)(0, mel.shape[1] * 256))[0])
    np.testing.assert_allclose(np.concatenate(pieces), whole, rtol=0, atol=1e-5)
    assert len(pieces) >= 1 + max(0, (inputs["tokens"].shape[1] - 20) // (2 * rate))
    speak(synthesizer, *request_of(seed + 1, rate), seed=seed + 1, steps=1)
    again = speak(synthesizer, inputs, speaker, seed=seed, steps=3)
    assert all(np.array_equal(a, b) for a, b in zip(pieces, again, strict=True))


def their_stream(flow, hift, inputs, frame_noise, source_noise):
    """The pieces of the packaged original's CosyVoiceModel for these speech tokens, with our noise."""
    model_module, generator = original("cosyvoice.cli.model", "cosyvoice.hifigan.generator")
    n_prompt, rate, start = inputs["prompt_mel"].shape[1], flow.input_frame_rate, 0
    phases = torch.from_numpy(SampledSource.initial_phases[:9])[None, :, None]

    def noise(like):
        nonlocal start
        if like.shape[1] == 80:  # of a window of the flow
            frames = like.shape[2] - n_prompt
            parts = [frame_noise(0, n_prompt)] if n_prompt else []
            parts.append(frame_noise(n_prompt + start, n_prompt + start + frames))
            start += frames - int(20 / rate * 22050 / 256)
            drawn = np.concatenate([np.array(part) for part in parts], axis=1)
        elif like.shape[1] == 9:  # of a piece of the vocoder
            drawn = np.array(source_noise(0, like.shape[2]))
        else:
            return torch.zeros_like(like)  # not used
        return torch.from_numpy(drawn).transpose(1, 2).contiguous()

    names = {
        "flow_embedding": "speaker",
        "flow_prompt_speech_token": "prompt_tokens",
        "prompt_speech_feat": "prompt_mel",
    }
    values = {name: torch.from_numpy(np.asarray(inputs[ours])) for name, ours in names.items()}
    values["source_speech_token"] = torch.from_numpy(inputs["tokens"])
    nap = time.sleep
    with (
        warnings.catch_warnings(),
        patch.object(torch, "randn_like", noise),
        patch.object(generator, "Uniform", lambda **_: SimpleNamespace(sample=lambda sample_shape: phases.clone())),
        patch.object(model_module.time, "sleep", lambda _: nap(0.001)),
        torch.inference_mode(),
    ):
        warnings.simplefilter("ignore")  # the original's, about its libraries
        model = model_module.CosyVoiceModel(torch.nn.Identity(), flow, hift)
        return [piece["tts_speech"][0].numpy() for piece in model.tts(**values, stream=True)]


@pytest.mark.parametrize("seed", SEEDS)
def test_as_original_streams_what_the_packaged_original_does(synthesizer, flows, vocoders, seed):
    """Every piece, with its windows, its caches of noise, source and speech, and its fades."""
    inputs, speaker = request_of(seed, synthesizer.model.config.flow.token_rate)
    ours = speak(synthesizer, inputs, speaker, seed=seed, as_original=True)
    theirs = their_stream(flows[1], vocoders[1], inputs, normal_noise(seed + 2**33, 100, 80), vocoders[0].noise(seed))
    assert [len(piece) for piece in ours] == [len(piece) for piece in theirs]
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=3.3e-4)


@pytest.mark.parametrize("seed", range(8))
def test_the_vocoder_s_stream_is_the_whole(vocoders, seed):
    ours, rng = vocoders[0], np.random.default_rng(seed)
    frames = int(rng.integers(1, 120))
    mel, noise = mx.array(mel_of(frames, seed)), ours.noise(seed)
    stream, pieces, fed = HiftStream(ours, noise), [], 0
    while fed < frames:
        count = int(rng.integers(1, 50))
        pieces.append(stream.feed(mel[:, fed : fed + count]))
        fed += count
    got = mx.concatenate([*pieces, stream.finish()], axis=1)
    np.testing.assert_allclose(np.array(got), np.array(ours(mel, noise(0, frames * 256))), rtol=0, atol=1e-5)


@pytest.mark.parametrize("evenly", [False, True], ids=["as the original", "faded evenly"])
@pytest.mark.parametrize("seed", SEEDS)
def test_windows_are_the_original_s(flows, seed, evenly):
    """Every window's mel, with the original's cache of noise and coarse mel: at 25 Hz it is half of what they share."""
    ours, twin, _ = flows
    rng, rate = np.random.default_rng(seed), ours.config.token_rate
    count, prompt = int(rng.integers(1, 9 * rate)), int(rng.integers(0, 60))
    inputs = flow_inputs(count, prompt, seed, rate=rate)
    prompt_tokens = tuple(inputs["prompt_tokens"][0].tolist())
    speaker = Speaker(mx.array(inputs["speaker"]), mx.array(inputs["prompt_mel"]), prompt_tokens)
    noise, options = normal_noise(seed, 100, 80), Options(stream=True, as_original=not evenly or rate == 25)
    windows = FlowWindows(ours, speaker, noise, options)
    mels = [np.array(mel) for mel, _ in windows.mels(iter(inputs["tokens"][0].tolist()), Clock())]
    hop, shared, start, cache, tail = 2 * rate, ours.config.frames(20), 0, None, None
    n_prompt, tokens, last = inputs["prompt_mel"].shape[1], inputs["tokens"], False
    rise, fall = np.split(np.hamming(2 * shared)[:, None], 2)
    if not options.as_original:
        rise, fall = rise / (rise + fall), fall / (rise + fall)
    for mel in mels:
        last = tokens.shape[1] < hop + 20
        inputs["tokens"] = tokens if last else tokens[:, : hop + 20]
        frames = ours.config.frames(inputs["tokens"].shape[1])
        drawn = [np.array(noise(0, n_prompt))] if n_prompt else []
        drawn.append(np.array(noise(n_prompt + start, n_prompt + start + frames)))
        taps, cache = flow_taps(twin, inputs | {"flow_noise": np.concatenate(drawn, axis=1)}, cache)
        theirs = taps["mel"].copy()
        if tail is not None:
            theirs[:, :shared] = theirs[:, :shared] * rise + tail * fall
        tail = theirs[:, -shared:]
        theirs = theirs if last else theirs[:, :-shared]
        np.testing.assert_allclose(mel, theirs, rtol=0, atol=1e-5 * np.abs(theirs).max())
        start, tokens = start + mel.shape[1], tokens[:, hop:]
    assert last and len(mels) == 1 + max(0, (count - 20) // hop)
