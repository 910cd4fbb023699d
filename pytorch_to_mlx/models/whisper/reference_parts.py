"""Parts of openai-whisper 20250625 at the size of base with random weights, and ours on the same inputs.

`benchmark coverage` times generated source beside both. Each part returns (module, args, kwargs, a call of ours).
"""

from collections.abc import Callable
from typing import Any

import mlx.core as mx
import torch

from .config import Config
from .model import AudioEncoder, TextDecoder

Part = tuple[torch.nn.Module, tuple, dict, Callable[[], Any]]


def encoder() -> Part:
    """Return the encoder over 30 s of audio."""
    from whisper.model import AudioEncoder as Original

    mel = torch.randn(1, 80, 3000)
    ours, frames = AudioEncoder(Config()), mx.array(mel.mT.numpy())
    return Original(80, 1500, 512, 8, 6), (mel,), {}, lambda: ours(frames)


def decoder() -> Part:
    """Return the decoder over 24 tokens."""
    from whisper.model import TextDecoder as Original

    tokens, audio = torch.randint(0, 50000, (1, 24)), torch.randn(1, 1500, 512)
    original = Original(51865, 448, 512, 8, 6)
    torch.nn.init.normal_(original.positional_embedding, std=0.02)
    ours, ids, frames = TextDecoder(Config()), mx.array(tokens.numpy()), mx.array(audio.numpy())
    return original, (tokens, audio), {}, lambda: ours(ids, ours.start(frames))[0]


PARTS = {"Whisper base encoder (30 s)": encoder, "Whisper base decoder (24 tokens)": decoder}
