"""Write cosyvoice1_lm.json: what version 1's language model of FunAudioLLM/CosyVoice ace7c47 says, with seeded weights.

Run with a checkout of it and of Matcha-TTS:
PYTHONPATH=.:tests:COSYVOICE:MATCHA python tests/golden/make_cosyvoice1_lm.py
"""

import json
from pathlib import Path

import numpy as np
from models.cosyvoice.lm_cases_version1 import CASES, TINY, put_seeded_weights

from pytorch_to_mlx.models.cosyvoice.original.lm import lm_tokens
from pytorch_to_mlx.models.cosyvoice.original.version1 import build_transformer_lm

if __name__ == "__main__":
    model = build_transformer_lm(TINY)
    put_seeded_weights(model)
    said = []
    for case in CASES:
        prompt = case["text"], case["prompt_text"], case["prompt_speech"]
        speaker = np.array(case["speaker"], np.float32).reshape(-1, 192)
        tokens = lm_tokens(model, *prompt, np.random.default_rng(case["seed"]).random, speaker=speaker)
        said.append({**case, "tokens": tokens})
    Path(__file__).with_name("cosyvoice1_lm.json").write_text(json.dumps(said) + "\n")
