"""The inputs on which `validate` compares both sides."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from ....contract import Case
from ..config import Parts

N_TOKENS = 40  # that both sides draw: the original takes 0.2 s for one


def cases(config: Parts) -> Iterator[Case]:
    """Yield synthetic recordings, token sequences and voices: no package carries the weights for real ones."""
    for seed, seconds in enumerate((1.0, 3.3)):
        yield _case(f"a voice of {seconds} s", "voice", audio=recording(seconds, seed))
    lm, speech = config.lm, config.lm.speech_token_size
    words = min(lm.vocab_size, 151_643)
    for seed, (text, prompt_text, prompt_speech) in enumerate(((20, 14, 75), (10, 0, 0))):
        rng = np.random.default_rng(seed)
        inputs = {"text": rng.integers(0, words, text).tolist(), "speech": rng.integers(0, speech, 100).tolist()}
        inputs |= {"prompt_text": rng.integers(0, words, prompt_text).tolist()}
        inputs |= {"prompt_speech": rng.integers(0, speech, prompt_speech).tolist()}
        name = f"language model, {text} words after {prompt_text}"
        yield _case(name, "lm", seed=seed, ratio=N_TOKENS / text, **inputs)
    for name, tokens, prompt, streaming in (
        ("speech of 3 s", 75, 50, False),
        ("speech of 1 s without a prompt", 25, 0, False),
        ("speech of 3 s as in a stream", 75, 60, True),
    ):
        yield _case(name, "audio", **audio_inputs(config, tokens, prompt), streaming=streaming)


def _case(name: str, kind: str, **inputs: Any) -> Case:
    return Case(name, {"kind": kind, "name": name, **inputs})


def audio_inputs(config: Parts, tokens: int, prompt: int) -> dict[str, Any]:
    """Return random inputs of the flow and the vocoder for so many tokens after a prompt of so many.

    Shapes: tokens [1, L], prompt_tokens [1, P], prompt_mel [1, 2 P, n_mels], speaker [1, speaker_dim],
    noise [1, 2 L · samples_per_frame, harmonics + 1].
    """
    rng = np.random.default_rng(tokens + prompt)
    size, mels = config.flow.vocab_size, config.flow.n_mels
    samples = 2 * tokens * config.hift.samples_per_frame
    steps = np.cumsum(rng.standard_normal((1, 2 * prompt, mels)) * 0.2, axis=1)
    return {
        "tokens": rng.integers(0, size, (1, tokens)),
        "prompt_tokens": rng.integers(0, size, (1, prompt)),
        "prompt_mel": (steps - 4).astype(np.float32),
        "speaker": rng.standard_normal((1, config.flow.speaker_dim), dtype=np.float32),
        "noise": rng.standard_normal((1, samples, config.hift.nb_harmonics + 1), dtype=np.float32),
    }


def recording(seconds: float, seed: int, rate: int = 16000) -> np.ndarray:
    """Return gliding harmonics between pauses of noise. Shapes: -> [L] float32."""
    rng = np.random.default_rng(seed)
    t = np.arange(int(seconds * rate)) / rate
    phase = 2 * np.pi * np.cumsum(140 + 40 * np.sin(2 * np.pi * 0.9 * t + seed)) / rate
    tone = sum(np.sin(k * phase) / k for k in range(1, 20))
    loud = np.clip(np.sin(2 * np.pi * 1.7 * t) + 0.5, 0, 1)
    return (0.15 * tone * loud + 0.005 * rng.standard_normal(len(t))).astype(np.float32)
