"""A convolution that lets each token see the few after it.

Reference: PreLookaheadLayer, cosyvoice/transformer/upsample_encoder.py@ace7c47.
"""

from dataclasses import dataclass

import mlx.core as mx
import mlx.nn as nn

from ....backend import ops
from ....nn.conv import Conv1d
from ....nn.stream import Stream


@dataclass(frozen=True)
class LookaheadConfig:
    """All that version 3 has for an encoder. lookahead: later tokens that each token sees."""

    channels: int = 1024
    lookahead: int = 3

    @classmethod
    def tiny(cls) -> "LookaheadConfig":
        """Return small sizes for tests."""
        return cls(channels=32)


class Lookahead(nn.Module):
    """Mix into each token the `lookahead` tokens after it, zeros after the last."""

    def __init__(self, size: int, channels: int, lookahead: int) -> None:
        super().__init__()
        self.conv1 = Conv1d(size, channels, lookahead + 1, padding=(0, lookahead))
        self.conv2 = Conv1d(channels, size, 3, padding=(2, 0))

    def __call__(self, x: mx.array, stream: Stream) -> mx.array:
        """Shapes: x [B, L, D] -> [B, L, D]."""
        y = ops.leaky_relu(stream.conv1d(self.conv1, x), 0.01)
        return stream.add(x, stream.conv1d(self.conv2, y))
