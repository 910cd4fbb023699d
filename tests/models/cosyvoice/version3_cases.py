"""Tiny networks of CosyVoice 3 whose weights anybody can make again, and their inputs, for tests/golden."""

from dataclasses import replace
from typing import Any

import numpy as np

from pytorch_to_mlx.models.cosyvoice.lm.config import LMConfig

from . import release_version3 as release

# name, tokens, prompt tokens, with a stream's mask, whether no more tokens will come
FLOW_CASES = (
    ("offline", 24, 9, False, True),
    ("stream", 24, 9, True, True),
    ("unfinished", 28, 0, True, False),
)
HIFT_FRAMES = 41
NOISE_PLACES = ((0, 50), (100_000, 100_020), (7_199_990, 7_200_000))
MAX_RATIO = 4  # speech tokens for each text token
LOUD = 12  # times the weights of the output, so that special ids are rarely drawn
EOS_LIKE = 182  # eos is drawn about as often as this token
END_OF_PROMPT = 151_646  # written into the original's code
LM_TINY = replace(LMConfig.tiny(), speech_token_size=243, vocab_size=END_OF_PROMPT + 2)
PROMPTS = (
    ([5, 6, 7, 8, 9, 10, 11, 12, 13], [3, END_OF_PROMPT, 1, 2, 3], [4] * 7),
    (list(range(30)), [END_OF_PROMPT, *range(11)], list(range(20))),
    (list(range(7)), [7, 8, END_OF_PROMPT], []),
    ([1, 2], [END_OF_PROMPT], []),
    ([3, 4], [END_OF_PROMPT, 5], [6, 7, 8]),
)
LM_CASES = [
    {"seed": seed, "text": text, "prompt_text": prompt_text, "prompt_speech": prompt_speech}
    for seed in range(3)
    for text, prompt_text, prompt_speech in PROMPTS
]


def flow_tiny_state() -> dict[str, np.ndarray]:
    return release.flow_state(release.TINY, np.random.default_rng(0))


def hift_tiny_state() -> dict[str, np.ndarray]:
    """The release's, with a pitch that is often under the least of a voiced frame."""
    made = release.hift_state(release.TINY, np.random.default_rng(0))
    made["f0_predictor.classifier.weight"] *= 4
    made["f0_predictor.classifier.bias"] -= 170
    return made


def flow_inputs(tokens: int, prompt: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return (
        rng.integers(0, 6561, (1, tokens)),
        rng.integers(0, 6561, (1, prompt)),
        rng.standard_normal((1, 2 * prompt, 80)).astype(np.float32),
        rng.standard_normal((1, 192)).astype(np.float32),
    )


def mel_of(frames: int, seed: int = 0) -> np.ndarray:
    """Log-mel-like: it wanders, so that the pitch is voiced and unvoiced."""
    rng = np.random.default_rng(seed)
    return (np.cumsum(rng.standard_normal((1, frames, 80)) * 0.7, axis=1) - 3).astype(np.float32)


def put_seeded_weights(model: Any) -> None:
    """Spread-out weights for a torch model, so that it says different things; the special ids are made rarer."""
    import torch

    rng = np.random.default_rng(0)
    with torch.no_grad():
        for _, parameter in sorted(model.named_parameters()):
            parameter.copy_(torch.from_numpy(rng.standard_normal(tuple(parameter.shape), dtype=np.float32) * 0.2))
        model.llm_decoder.weight.mul_(LOUD)
        size = LM_TINY.speech_token_size
        model.llm_decoder.weight[size:] *= 0.02
        model.llm_decoder.weight[size + 1] = 0.9 * model.llm_decoder.weight[EOS_LIKE]


def lm_state() -> dict[str, np.ndarray]:
    """The same weights without torch's model, under its names."""
    sizes = replace(release.TINY, vocab_size=LM_TINY.vocab_size, speech_token_size=LM_TINY.speech_token_size)
    rng = np.random.default_rng(0)
    shapes = dict(release.llm_shapes(sizes))
    state = {name: rng.standard_normal(shapes[name], dtype=np.float32) * np.float32(0.2) for name in sorted(shapes)}
    size, decoder = LM_TINY.speech_token_size, state["llm_decoder.weight"]
    decoder *= np.float32(LOUD)
    decoder[size:] *= np.float32(0.02)
    decoder[size + 1] = np.float32(0.9) * decoder[EOS_LIKE]
    return state
