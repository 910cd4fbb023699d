"""Parts of kokoro 0.9.4 at full size with random weights, and ours on the same inputs.

`benchmark coverage` times generated source beside both. Each part returns (module, args, kwargs, a call of ours).
"""

from collections.abc import Callable
from typing import Any

import mlx.core as mx
import torch

from .blocks import SnakeBlock, StyleBlock
from .config import PlBertConfig
from .plbert import PlBert

Part = tuple[torch.nn.Module, tuple, dict, Callable[[], Any]]


def plbert() -> Part:
    """Return PL-BERT over 120 phonemes."""
    from kokoro.modules import CustomAlbert
    from transformers import AlbertConfig

    config = AlbertConfig(
        vocab_size=178,
        hidden_size=768,
        num_attention_heads=12,
        num_hidden_layers=12,
        intermediate_size=2048,
        max_position_embeddings=512,
    )
    ids = torch.randint(1, 178, (1, 120))
    ours, phonemes = PlBert(PlBertConfig(), 178), mx.array(ids.numpy())
    return CustomAlbert(config), (), {"input_ids": ids, "attention_mask": torch.ones_like(ids)}, lambda: ours(phonemes)


def style_block() -> Part:
    """Return AdainResBlk1d of the decoder, 1090 to 1024 channels, over 400 steps."""
    from kokoro.istftnet import AdainResBlk1d

    x, style = torch.randn(1, 1090, 400), torch.randn(1, 128)
    ours, steps, voice = StyleBlock(1090, 1024, 128), mx.array(x.mT.numpy()), mx.array(style.numpy())
    return AdainResBlk1d(1090, 1024, style_dim=128), (x, style), {}, lambda: ours(steps, voice)


def snake_block() -> Part:
    """Return AdaINResBlock1 of the last stage, 128 channels, over 3000 steps."""
    from kokoro.istftnet import AdaINResBlock1

    x, style = torch.randn(1, 128, 3000), torch.randn(1, 128)
    ours, steps, voice = SnakeBlock(128, 7, (1, 3, 5), 128), mx.array(x.mT.numpy()), mx.array(style.numpy())
    return AdaINResBlock1(128, 7, (1, 3, 5), 128), (x, style), {}, lambda: ours(steps, voice)


PARTS = {
    "Kokoro PL-BERT (120 phonemes)": plbert,
    "Kokoro AdainResBlk1d (400 steps)": style_block,
    "Kokoro AdaINResBlock1 (3000 steps)": snake_block,
}
