"""A tiny language model of CosyVoice 1 whose weights anybody can make again, and what it is asked to say."""

from dataclasses import replace

import numpy as np
from models.cosyvoice.lm_cases import PROMPTS

from pytorch_to_mlx.models.cosyvoice.lm.transformer import TransformerLMConfig

TINY = replace(TransformerLMConfig.tiny(), vocab_size=120, speech_token_size=27)
CASES = [
    {
        "seed": seed,
        "text": text,
        "prompt_text": prompt_text,
        "prompt_speech": prompt_speech,
        "speaker": np.random.default_rng(seed).standard_normal(192).round(3).tolist() if seed % 2 else [],
    }
    for seed in range(4)
    for text, prompt_text, prompt_speech in PROMPTS[:1] + PROMPTS[2:]
]


def put_seeded_weights(model):
    """Spread-out weights for a torch model, so that it says different things."""
    import torch

    rng = np.random.default_rng(0)
    with torch.no_grad():
        for _, parameter in sorted(model.named_parameters()):
            parameter.copy_(torch.from_numpy(rng.normal(0, 0.2, tuple(parameter.shape)).astype(np.float32)))
        model.llm_decoder.weight.mul_(2)
        model.llm_decoder.bias[-1:] += 1.0
