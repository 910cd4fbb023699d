"""Write cosyvoice_lm.json: what the language model of FunAudioLLM/CosyVoice ace7c47 says, with seeded weights.

Run with a checkout of it and of Matcha-TTS:
PYTHONPATH=.:tests:COSYVOICE:MATCHA python tests/golden/make_cosyvoice_lm.py
"""

import json
from pathlib import Path

import numpy as np
from models.cosyvoice.lm_cases import CASES, TINY, put_seeded_weights

from pytorch_to_mlx.models.cosyvoice.original.lm import build_lm, lm_tokens, lm_tokens_of_stream

if __name__ == "__main__":
    model = build_lm(TINY)
    put_seeded_weights(model)
    said = []
    for case in CASES:
        prompt = case["text"], case["prompt_text"], case["prompt_speech"]
        whole = lm_tokens(model, *prompt, np.random.default_rng(case["seed"]).random)
        try:
            stream = lm_tokens_of_stream(model, *prompt, np.random.default_rng(case["seed"]).random)
        except ValueError as error:
            stream = str(error)
        said.append({**case, "whole": whole, "stream": stream})
    Path(__file__).with_name("cosyvoice_lm.json").write_text(json.dumps(said) + "\n")
