"""The flow's estimator of version 3: a diffusion transformer that predicts the velocity of the mel.

Du et al. 2025, "CosyVoice 3", section 2; Chen et al. 2024, "F5-TTS". Reference: DiT, cosyvoice/flow/DiT/dit.py@ace7c47.
"""

from dataclasses import dataclass

import mlx.core as mx
import mlx.nn as nn

from ....backend import ops
from ....nn.dit import ConvPositions, DiTBlock, TimeEmbedding, modulate
from ....nn.linear import linear
from ....nn.stream import Stream

KERNEL = 31  # of the convolutions that embed positions
ROPE_THETA = 10000.0
HEAD_DIM = 64  # the rules for the weights reorder the features of heads of this size


@dataclass(frozen=True)
class DiTConfig:
    """Sizes of the estimator; the defaults are CosyVoice 3's. ff_mult: width of the feed-forward, in hidden_size."""

    hidden_size: int = 1024
    num_hidden_layers: int = 22
    num_attention_heads: int = 16
    head_dim: int = HEAD_DIM
    ff_mult: int = 2

    def __post_init__(self) -> None:
        if self.head_dim != HEAD_DIM or self.hidden_size % 16:
            raise ValueError(
                f"head_dim {self.head_dim} must be {HEAD_DIM}, hidden_size {self.hidden_size} a multiple of 16"
            )

    @property
    def values_per_frame(self) -> int:
        """Numbers that a stream keeps of a frame in each row and evaluation: keys and values of every layer."""
        return 2 * self.num_hidden_layers * self.num_attention_heads * self.head_dim

    @classmethod
    def tiny(cls) -> "DiTConfig":
        """Return small sizes for tests."""
        return cls(hidden_size=64, num_hidden_layers=2, num_attention_heads=2)


class DiT(nn.Module):
    """Predict the velocity from x, the prompt's mel, the coarse mel and the speaker, side by side."""

    def __init__(self, config: DiTConfig, n_mels: int) -> None:
        super().__init__()
        size = config.hidden_size
        self.time_embed = TimeEmbedding(size)
        self.input_proj = nn.Linear(4 * n_mels, size)
        self.positions = ConvPositions(size, (KERNEL - 1, 0), kernel_size=KERNEL)
        self.blocks = [
            DiTBlock(
                size,
                config.num_attention_heads,
                config.head_dim,
                config.ff_mult * size,
                first_head_only=True,  # the other heads know no positions beyond the convolutions'
            )
            for _ in range(config.num_hidden_layers)
        ]
        self.final_time_proj = nn.Linear(size, 2 * size)
        self.final_proj = nn.Linear(size, n_mels)

    def modulations(self, t: float) -> list[mx.array]:
        """Return what the time t does to each block, and to the last norm.

        Shapes: -> [6, 1, 1, D] for each block, then [2, 1, 1, D]: the last norm's scale, and its shift.
        """
        time = self.time_embed(t)
        last = linear(self.final_time_proj, ops.silu(time)).reshape(2, 1, 1, -1)
        modulations = [*(block.modulation(time) for block in self.blocks), last]
        mx.eval(modulations)
        return modulations

    def __call__(
        self,
        x: mx.array,
        condition: mx.array,
        modulations: list[mx.array],
        tables: tuple[mx.array, mx.array],
        stream: Stream,
        mask: mx.array | None = None,
    ) -> mx.array:
        """Return the velocity at the time of the modulations.

        Shapes: x [B, T, n_mels], condition [B, T, 3 · n_mels], tables two of [T, head_dim / 2], mask [T, S] ->
        [B, T, n_mels].
        """
        x = self.positions(linear(self.input_proj, mx.concatenate([x, condition], axis=-1)), stream)
        *modulations, (scale, shift) = modulations
        for block, modulation in zip(self.blocks, modulations, strict=True):
            x = block(x, modulation, tables, stream, mask)
        return linear(self.final_proj, modulate(x, shift, scale))
