"""The two networks that give the velocity of the mel: a DiT (F5-TTS) and a flat U-Net of transformer layers (E2-TTS).

Source: SWivid/F5-TTS@2ae2c9b, f5_tts/model/backbones/dit.py and unett.py.
"""

from typing import Any, TypeAlias

import mlx.core as mx
import mlx.nn as nn

from ...backend import ops
from ...nn.attention import RotaryAttention
from ...nn.dit import DiTBlock, modulate
from ...nn.linear import linear
from ...nn.stream import Stream
from .config import HEAD_DIM, Config

Rotation: TypeAlias = tuple[mx.array, mx.array]
_WHOLE = Stream()


def attention_options(config: Config) -> dict[str, Any]:
    """Return how the attention of every layer is built. The pairs that turn together are halves; see weights.py."""
    return {
        "num_heads": config.num_attention_heads,
        "head_dim": HEAD_DIM,
        "first_head_only": config.rotates != "all",
        "qk_norm": config.qk_norm,
    }


class DiT(nn.Module):
    """Layers whose norms and gates come from the time. Each time is prepared once for all that is computed at it."""

    prefix = 0  # rows before the frames

    def __init__(self, config: Config) -> None:
        super().__init__()
        size, options = config.hidden_size, attention_options(config)
        self.blocks = [
            DiTBlock(size, intermediate_size=config.intermediate_size, **options)
            for _ in range(config.num_hidden_layers)
        ]
        if config.long_skip_connection:
            self.skip_proj = nn.Linear(2 * size, size, bias=False)
        self.time_proj = nn.Linear(size, 2 * size)
        self.out_proj = nn.Linear(size, config.n_mels)

    def prepare(self, times: mx.array) -> list[Any]:
        """Return what each time does to the layers: theirs, and scale and shift of the last norm.

        Shapes: times [S, D], embedded -> S of ([6, 1, 1, D] for each layer, [2, 1, 1, D]).
        """
        layers = [block.modulation(times) for block in self.blocks]  # [6, S, 1, D] each
        last = linear(self.time_proj, ops.silu(times)).reshape(len(times), 2, 1, -1).swapaxes(0, 1)
        mx.eval(layers, last)
        return [([m[:, s : s + 1] for m in layers], last[:, s : s + 1]) for s in range(len(times))]

    def __call__(self, x: mx.array, at_time: Any, rotation: Rotation, mask: mx.array | None = None) -> mx.array:
        """Shapes: x [B, T, D], rotation two of [T, 32], mask [B, 1, 1, T] (True attends) -> [B, T, n_mels]."""
        modulations, (scale, shift) = at_time
        first = x
        for block, modulation in zip(self.blocks, modulations, strict=True):
            x = block(x, modulation, rotation, _WHOLE, mask)
        if "skip_proj" in self:
            x = linear(self.skip_proj, mx.concatenate([x, first], axis=-1))
        return linear(self.out_proj, modulate(x, shift, scale))


class UNetLayer(RotaryAttention):
    """Attention and feed-forward, each after an RMS norm; in the second half, first a product with [x, skip]."""

    def __init__(self, config: Config, has_skip_proj: bool) -> None:
        size = config.hidden_size
        super().__init__(size, **attention_options(config))
        if has_skip_proj:
            self.skip_proj = nn.Linear(2 * size, size, bias=False)
        self.attention_norm, self.norm = nn.RMSNorm(size), nn.RMSNorm(size)
        self.up_proj = nn.Linear(size, config.intermediate_size)
        self.down_proj = nn.Linear(config.intermediate_size, size)

    def __call__(self, x: mx.array, rotation: Rotation, mask: mx.array | None) -> mx.array:
        """Shapes: x [B, T, D] -> [B, T, D]."""
        x = ops.add(x, self.attend(rms_norm(self.attention_norm, x), rotation, _WHOLE, mask))
        y = linear(self.up_proj, rms_norm(self.norm, x))
        return ops.add(x, linear(self.down_proj, ops.gelu_tanh(y)))


class UNetT(nn.Module):
    """Layers of which the second half sees the inputs of the first half, in reverse. The time is a row before x."""

    prefix = 1

    def __init__(self, config: Config) -> None:
        super().__init__()
        self._config = config
        n_layers, joins = config.num_hidden_layers, config.skip_connect_type == "concat"
        self.layers = [UNetLayer(config, joins and i >= n_layers // 2) for i in range(n_layers)]
        self.norm = nn.RMSNorm(config.hidden_size)
        self.out_proj = nn.Linear(config.hidden_size, config.n_mels)

    def prepare(self, times: mx.array) -> list[Any]:
        """Return the row of each time. Shapes: times [S, D], embedded -> S of [1, 1, D]."""
        return [time[None, None] for time in times]

    def __call__(self, x: mx.array, at_time: Any, rotation: Rotation, mask: mx.array | None = None) -> mx.array:
        """Shapes: x [B, T, D], rotation two of [T + 1, 32], mask [B, 1, 1, T + 1] (True attends) -> [B, T, n_mels]."""
        x = mx.concatenate([mx.broadcast_to(at_time, (len(x), 1, x.shape[-1])), x], axis=1)
        middle, skips = len(self.layers) // 2, []
        for i, layer in enumerate(self.layers):
            if i < middle:
                skips.append(x)
            elif self._config.skip_connect_type == "concat":
                x = linear(layer.skip_proj, mx.concatenate([x, skips.pop()], axis=-1))
            elif self._config.skip_connect_type == "add":
                x = x + skips.pop()
            x = layer(x, rotation, mask)
        return linear(self.out_proj, rms_norm(self.norm, x)[:, 1:])


def rms_norm(norm: nn.RMSNorm, x: mx.array) -> mx.array:
    """Return weight · x / sqrt(mean(x²)); the original guards the root alone against zero.

    Shapes: x [..., D] -> [..., D]. Source: RMSNorm of x_transformers.
    """
    return ops.rms_norm(x, norm.weight, 1e-24 / x.shape[-1])
