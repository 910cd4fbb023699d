"""The network of a head: a mixture of the trunk's layers, blocks of convolutions, and an output for each question.

Plain MLX, because it is trained: the CPU kernels have no gradient. Padded frames have no part in anything.
"""

import mlx.core as mx
import mlx.nn as nn

from .config import Config

DROPOUT = 0.1
_WIDTH = 5  # frames that a block's convolution sees


class Keys:
    """Random keys, one after another, from one; none where nothing is drawn, as outside training."""

    def __init__(self, key: mx.array | None = None) -> None:
        self._key = key

    def dropout(self, x: mx.array) -> mx.array:
        """Set a tenth of the numbers to zero, and scale the rest. Source: Srivastava et al. 2014."""
        if self._key is None:
            return x
        self._key, key = mx.random.split(self._key)
        return x * mx.random.bernoulli(1 - DROPOUT, x.shape, key=key) / (1 - DROPOUT)


class LayerMix(nn.Module):
    """The sum of the trunk's layers, each with a weight that is learnt. Source: Peters et al. 2018 (ELMo), eq. 1."""

    def __init__(self, num_layers: int) -> None:
        super().__init__()
        self.weight = mx.zeros(num_layers)

    def __call__(self, x: mx.array) -> mx.array:
        """Mix the layers. Shapes: x [B, T, N, D] -> [B, T, D]."""
        return (x * mx.softmax(self.weight)[:, None]).sum(axis=2)


class Block(nn.Module):
    """x + linear(gelu(conv(norm(x)))): a convolution over 5 frames, as one product with 5 neighbours side by side."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(size)
        self.conv = nn.Linear(_WIDTH * size, size)
        self.out = nn.Linear(size, size)

    def __call__(self, x: mx.array, mask: mx.array, keys: Keys) -> mx.array:
        """Apply the block. Shapes: x [B, T, D], mask [B, T, 1] -> [B, T, D]."""
        n_frames = x.shape[1]
        padded = mx.pad(self.norm(x) * mask, [(0, 0), (_WIDTH // 2, _WIDTH // 2), (0, 0)])
        neighbours = mx.concatenate([padded[:, shift : shift + n_frames] for shift in range(_WIDTH)], axis=-1)
        return x + keys.dropout(self.out(nn.gelu(self.conv(neighbours))))


class ClipOutput(nn.Module):
    """Classes of a whole clip, from the mean and the deviation of its frames under attention.

    Source: Okabe et al. 2018, "Attentive Statistics Pooling for Deep Speaker Embedding", section 2.
    """

    def __init__(self, size: int, num_labels: int) -> None:
        super().__init__()
        self.attention = nn.Linear(size, 1)
        self.out = nn.Linear(2 * size, num_labels)

    def __call__(self, x: mx.array, mask: mx.array) -> mx.array:
        """Pool and classify. Shapes: x [B, T, D], mask [B, T, 1] -> [B, V]."""
        weights = mx.softmax(mx.where(mask > 0, self.attention(x), -1e9), axis=1)  # [B, T, 1]
        mean = (weights * x).sum(axis=1)
        variance = (weights * mx.square(x - mean[:, None])).sum(axis=1)
        return self.out(mx.concatenate([mean, mx.sqrt(variance + 1e-6)], axis=-1))


class Head(nn.Module):
    """Everything that one head answers, on blocks that its outputs share.

    loss_scales: the logarithm of each output's loss scale, learnt where there are several.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        self._config = config
        size = config.hidden_size
        self.mix = LayerMix(len(config.layers))
        self.norm_in = nn.LayerNorm(config.input_size)
        self.linear_in = nn.Linear(config.input_size, size)
        self.blocks = [Block(size) for _ in range(config.num_blocks)]
        self.norm_out = nn.LayerNorm(size)
        self.outputs = [
            ClipOutput(size, output.size) if output.kind == "clip" else nn.Linear(size, output.size)
            for output in config.outputs
        ]
        self.loss_scales = mx.zeros(len(config.outputs))

    @property
    def config(self) -> Config:
        """Return the sizes that the head was built with."""
        return self._config

    def __call__(self, features: mx.array, lengths: mx.array, key: mx.array | None = None) -> dict[str, mx.array]:
        """Return the logits of each output. key: of what is dropped out; none outside training.

        Shapes: features [B, T, N, D] (N layers), lengths [B] in frames -> [B, T, V] each, [B, V] of a clip.
        """
        keys = Keys(key)
        mask = (mx.arange(features.shape[1]) < lengths[:, None])[..., None].astype(mx.float32)  # [B, T, 1]
        x = self.norm_in(self.mix(features.astype(mx.float32)))
        x = keys.dropout(self.linear_in(x))
        for block in self.blocks:
            x = block(x, mask, keys)
        x = self.norm_out(x)
        return {
            output.name: layer(x, mask) if isinstance(layer, ClipOutput) else layer(x)
            for output, layer in zip(self.config.outputs, self.outputs, strict=True)
        }
