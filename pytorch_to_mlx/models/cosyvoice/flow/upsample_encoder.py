"""The flow's encoder: speech tokens to a coarse mel. A conformer without convolutions, at two rates.

Reference: UpsampleConformerEncoder, cosyvoice/transformer/upsample_encoder.py@ace7c47.
"""

from dataclasses import dataclass

import mlx.core as mx
import mlx.nn as nn

from ....nn.conv import Conv1d
from ....nn.norm import LayerNorm
from ....nn.stream import Stream
from ..conformer import ConformerConfig, ConformerLayer, Embed, run_layers
from .lookahead import Lookahead


@dataclass(frozen=True)
class EncoderConfig(ConformerConfig):
    """Sizes of the encoder; the defaults are CosyVoice 2's. lookahead: later tokens that each token sees."""

    num_upsampled_layers: int = 4
    lookahead: int = 3

    @classmethod
    def tiny(cls) -> "EncoderConfig":
        """Return small sizes for tests."""
        return cls(hidden_size=64, num_attention_heads=2, intermediate_size=96, num_hidden_layers=2)


class Encoder(nn.Module):
    """Encode embedded tokens and upsample them to mel frames."""

    def __init__(self, config: EncoderConfig, ratio: int) -> None:
        super().__init__()
        self.ratio = ratio
        size = config.hidden_size
        self.embed, self.up_embed = Embed(size, size), Embed(size, size)
        self.lookahead = Lookahead(size, size, config.lookahead)
        self.layers = [ConformerLayer(config) for _ in range(config.num_hidden_layers)]
        self.up_conv = Conv1d(size, size, 2 * ratio + 1, padding=(2 * ratio, 0))
        self.up_layers = [ConformerLayer(config) for _ in range(config.num_upsampled_layers)]
        self.norm = LayerNorm(size)

    def __call__(self, x: mx.array, stream: Stream, *, offset: int = 0, chunk: int | None = None) -> mx.array:
        """Shapes: x [1, L, D] -> [1, ratio · L, D], or ratio · (L - lookahead) frames if more tokens will come.

        offset: tokens whose frames came out before. chunk: tokens see no further than the end of their chunk.
        """
        x = self.lookahead(self.embed(x), stream)
        x = run_layers(self.layers, x, stream, offset, chunk)
        x = stream.conv1d(self.up_conv, mx.repeat(x, self.ratio, axis=1))
        x = run_layers(self.up_layers, self.up_embed(x), stream, offset * self.ratio, chunk and chunk * self.ratio)
        return self.norm(x)
