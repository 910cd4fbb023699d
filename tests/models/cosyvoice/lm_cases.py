"""A tiny language model of CosyVoice 2 whose weights anybody can make again, and what it is asked to say."""

from dataclasses import replace
from typing import Any

import numpy as np

from pytorch_to_mlx.models.cosyvoice.lm.config import LMConfig

TINY = replace(LMConfig.tiny(), speech_token_size=27)
PROMPTS = (
    ([5, 6, 7, 8, 9, 10, 11, 12, 13], [1, 2, 3], [4] * 7),
    (list(range(30)), list(range(11)), list(range(20))),
    (list(range(7)), [], []),
    ([1, 2], [], []),
    ([3, 4], [5], [6, 7, 8]),
)
CASES = [
    {"seed": seed, "text": text, "prompt_text": prompt_text, "prompt_speech": prompt_speech}
    for seed in range(8)
    for text, prompt_text, prompt_speech in PROMPTS
]


def put_seeded_weights(model: Any) -> None:
    """Spread-out weights for a torch model, so that it says different things; the special ids are made rarer."""
    import torch

    rng = np.random.default_rng(0)
    with torch.no_grad():
        for _, parameter in sorted(model.named_parameters()):
            parameter.copy_(torch.from_numpy(rng.normal(0, 0.2, tuple(parameter.shape)).astype(np.float32)))
        model.llm_decoder.weight.mul_(2)
        model.llm_decoder.bias[-3:] += torch.tensor([1.0, -12.0, 0.0])
