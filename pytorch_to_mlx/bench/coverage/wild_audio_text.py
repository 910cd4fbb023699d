"""Public repositories of speech, sound and text."""

# pyright: reportMissingImports=false, reportAttributeAccessIssue=false

import json
from pathlib import Path
from typing import Any

from .packages import noise, tokens
from .wild import repository


@repository("jik876/hifi-gan", commit="4769534d45265d52a904b850da5f622601885777", kind="neural vocoder")
def hifigan(folder: Path) -> Any:
    """Turn mel spectrograms into waveforms: its V1 at an eighth of the channels."""
    from env import AttrDict
    from models import Generator

    config = json.loads((folder / "config_v1.json").read_text()) | {"upsample_initial_channel": 64}
    return Generator(AttrDict(config)), noise((2, 80, 12), (1, 80, 31), (3, 80, 5))


@repository("karpathy/nanoGPT", commit="3adf61e154c3fe3fca428ad6bc3818b27a3b8291", kind="language model")
def nanogpt(folder: Path) -> Any:
    """Predict the next token of texts."""
    from model import GPT, GPTConfig

    return GPT(GPTConfig(block_size=64, vocab_size=96, n_layer=3, n_head=4, n_embd=64)), tokens((2, 9), (1, 64), (3, 2))
