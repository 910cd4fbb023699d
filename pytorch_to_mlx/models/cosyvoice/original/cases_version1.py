"""The inputs on which `validate` compares both sides of version 1."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from ....contract import Case
from ..config import Parts
from .cases import N_TOKENS, recording


def cases(config: Parts) -> Iterator[Case]:
    """Yield synthetic recordings, token sequences and voices: no package carries the weights for real ones."""
    for seed, seconds in enumerate((1.0, 3.3)):
        yield case(f"a voice of {seconds} s", "voice", audio=recording(seconds, seed))
    rate = config.flow.token_rate
    for seed, (text, prompt_text, prompt_s) in enumerate(((20, 14, 2), (10, 0, 0))):
        yield lm_case(config, seed, text, prompt_text, prompt_s, n_speech=100)
    for name, tokens, prompt in (
        ("speech of 3 s", 3 * rate, 2 * rate),
        ("speech of 0.5 s without a prompt", rate // 2, 0),
    ):
        yield case(name, "audio", **audio_inputs(config, tokens, prompt))


def longer_cases(config: Parts) -> Iterator[Case]:
    """Yield a voice, and sequences of 5 s and 15 s, for full-size tests: those of `validate` take minutes less."""
    yield case("a voice of 10 s", "voice", audio=recording(10.0, 2))
    rate = config.flow.token_rate
    for seconds in (5, 15):
        yield lm_case(config, seconds, 4 * seconds, 14, 3, n_speech=seconds * rate)
        yield case(f"speech of {seconds} s", "audio", **audio_inputs(config, seconds * rate, 3 * rate))


def case(name: str, kind: str, **inputs: Any) -> Case:
    return Case(name, {"kind": kind, "name": name, **inputs})


def lm_case(config: Parts, seed: int, text: int, prompt_text: int, prompt_s: int, *, n_speech: int) -> Case:
    """Return `text` words after a prompt of `prompt_text` words and `prompt_s` seconds, and `n_speech` tokens of it."""
    lm, rng = config.lm, np.random.default_rng(seed)
    sizes = {"text": text, "prompt_text": prompt_text}
    inputs: dict[str, Any] = {name: rng.integers(0, lm.vocab_size, n).tolist() for name, n in sizes.items()}
    for name, length in (("speech", n_speech), ("prompt_speech", prompt_s * config.flow.token_rate)):
        inputs[name] = rng.integers(0, lm.speech_token_size, length).tolist()
    if prompt_s:
        inputs["speaker"] = rng.standard_normal((1, config.flow.speaker_dim), dtype=np.float32)
    name = f"language model, {text} words after {prompt_text}"
    return case(name, "lm", seed=seed, ratio=N_TOKENS / text, **inputs)


def audio_inputs(config: Parts, tokens: int, prompt: int) -> dict[str, Any]:
    """Return random inputs of the flow and the vocoder for so many tokens after a prompt of so many.

    Shapes: tokens [1, L], prompt_tokens [1, P], prompt_mel [1, F, n_mels], speaker [1, speaker_dim], flow_noise
    [1, F + T, n_mels], noise [1, T · samples_per_frame, harmonics + 1], for the T frames of the tokens.
    """
    rng, flow = np.random.default_rng(tokens + prompt), config.flow
    n_prompt, n_frames = flow.frames(prompt), flow.frames(tokens)
    samples = n_frames * config.hift.samples_per_frame
    steps = np.cumsum(rng.standard_normal((1, n_prompt, flow.n_mels)) * 0.2, axis=1)
    return {
        "tokens": rng.integers(0, flow.vocab_size, (1, tokens)),
        "prompt_tokens": rng.integers(0, flow.vocab_size, (1, prompt)),
        "prompt_mel": (steps - 4).astype(np.float32),
        "speaker": rng.standard_normal((1, flow.speaker_dim), dtype=np.float32),
        "flow_noise": rng.standard_normal((1, n_prompt + n_frames, flow.n_mels), dtype=np.float32),
        "noise": rng.standard_normal((1, samples, config.hift.nb_harmonics + 1), dtype=np.float32),
    }
