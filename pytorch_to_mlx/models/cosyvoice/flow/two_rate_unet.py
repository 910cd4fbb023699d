"""The estimator of version 1: a U-Net that sees both ways, with its middle at half the frame rate.

Reference: ConditionalDecoder, cosyvoice/flow/decoder.py@ace7c47, of blocks of Matcha-TTS.
"""

import mlx.core as mx
import mlx.nn as nn

from ....backend import ops
from ....nn.conv import Conv1d, ConvTranspose1d
from ....nn.linear import linear
from ....nn.stream import Stream
from .unet import WIDENING, EstimatorConfig, Stage, embed_time

GROUPS = 8  # of the channels, for the norm


class ConvBlock(nn.Module):
    """Convolution, norm over groups of channels and all steps, mish."""

    def __init__(self, dim_in: int, dim_out: int) -> None:
        super().__init__()
        self.conv = Conv1d(dim_in, dim_out, 3, padding=1)
        self.norm = nn.GroupNorm(GROUPS, dim_out)

    def __call__(self, x: mx.array, stream: Stream) -> mx.array:
        """Shapes: x [B, T, D_in] -> [B, T, D_out]. The whole signal at once: the norm sees all of it."""
        x = ops.group_norm(self.conv(x), GROUPS, self.norm.weight, self.norm.bias, self.norm.eps)
        return ops.mish(x)


class TwoRateEstimator(nn.Module):
    """Predict the velocity from x, the encoder's mel, the speaker and the prompt's mel, side by side."""

    def __init__(self, config: EstimatorConfig, n_mels: int) -> None:
        super().__init__()
        size = config.channels
        self.time_channels = 4 * n_mels
        self.time_proj1 = nn.Linear(self.time_channels, WIDENING * size)
        self.time_proj2 = nn.Linear(WIDENING * size, WIDENING * size)
        self.down = [Stage(4 * n_mels, config, ConvBlock), Stage(size, config, ConvBlock)]
        self.halve = Conv1d(size, size, 3, stride=2, padding=1)
        self.down_conv = Conv1d(size, size, 3, padding=1)
        self.mid = [Stage(size, config, ConvBlock) for _ in range(config.num_mid_blocks)]
        self.up = [Stage(2 * size, config, ConvBlock), Stage(2 * size, config, ConvBlock)]
        self.double = ConvTranspose1d(size, size, 4, stride=2, padding=1)
        self.up_conv = Conv1d(size, size, 3, padding=1)
        self.final_block = ConvBlock(size, size)
        self.final_proj = nn.Linear(size, n_mels)

    def __call__(self, x: mx.array, condition: mx.array, t: float) -> mx.array:
        """Return the velocity at time t. Shapes: x [B, T, n_mels], condition [B, T, 3 · n_mels] -> [B, T, n_mels]."""
        time = embed_time(t, self.time_channels, self.time_proj1, self.time_proj2)

        def run(stage: Stage, x: mx.array) -> mx.array:
            return stage(x, time, Stream(), None)

        full = run(self.down[0], mx.concatenate([x, condition], axis=-1))
        half = run(self.down[1], self.halve(full))  # [B, ceil(T / 2), D]
        x = self.down_conv(half)
        for stage in self.mid:
            x = run(stage, x)
        x = self.double(run(self.up[0], mx.concatenate([x, half], axis=-1)))[:, : full.shape[1]]
        x = self.up_conv(run(self.up[1], mx.concatenate([x, full], axis=-1)))
        return linear(self.final_proj, self.final_block(x, Stream()))
