"""The inputs on which `validate` compares both sides of version 1."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from ....contract import Case
from ..config import Parts
from .cases import N_TOKENS, recording


def cases(config: Parts) -> Iterator[Case]:
    """Yield synthetic recordings, token sequences and voices: no package carries the weights for real ones."""

    def case(name: str, kind: str, **inputs: Any) -> Case:
        return Case(name, {"kind": kind, "name": name, **inputs})

    for seed, seconds in enumerate((1.0, 3.3)):
        yield case(f"a voice of {seconds} s", "voice", audio=recording(seconds, seed))
    lm, rate = config.lm, config.flow.token_rate
    for seed, (text, prompt_text, prompt_s) in enumerate(((20, 14, 2), (10, 0, 0))):
        rng = np.random.default_rng(seed)
        sizes = {"text": text, "prompt_text": prompt_text}
        inputs: dict[str, Any] = {name: rng.integers(0, lm.vocab_size, n).tolist() for name, n in sizes.items()}
        for name, length in (("speech", 100), ("prompt_speech", prompt_s * rate)):
            inputs[name] = rng.integers(0, lm.speech_token_size, length).tolist()
        if prompt_s:
            inputs["speaker"] = rng.standard_normal((1, config.flow.speaker_dim), dtype=np.float32)
        yield case(
            f"language model, {text} words after {prompt_text}", "lm", seed=seed, ratio=N_TOKENS / text, **inputs
        )
    for name, tokens, prompt in (
        ("speech of 3 s", 3 * rate, 2 * rate),
        ("speech of 0.5 s without a prompt", rate // 2, 0),
    ):
        yield case(name, "audio", **audio_inputs(config, tokens, prompt))


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
