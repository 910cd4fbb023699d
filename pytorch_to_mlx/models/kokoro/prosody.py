"""Text encoder, durations, pitch and energy. Li et al. 2023, "StyleTTS 2", section 3.1 and appendix B."""

import mlx.core as mx
import mlx.nn as nn

from ...backend import ops
from ...nn.conv import Conv1d
from ...nn.linear import linear
from ...nn.lstm import BiLSTM
from ...nn.norm import AdaLayerNorm, LayerNorm
from .blocks import StyleBlock
from .config import Config


class TextEncoder(nn.Module):
    """Convolutions and one LSTM over the phonemes, for the decoder."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        size, kernel = config.hidden_dim, config.text_encoder_kernel_size
        self.embedding = nn.Embedding(config.n_token, size)
        self.convs = [Conv1d(size, size, kernel, padding=(kernel - 1) // 2) for _ in range(config.n_layer)]
        self.norms = [LayerNorm(size) for _ in range(config.n_layer)]
        self.lstm = BiLSTM(size, size // 2)

    def __call__(self, ids: mx.array) -> mx.array:
        """Encode phonemes. Shapes: ids [B, L] -> [B, L, hidden_dim]."""
        x = self.embedding(ids)
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = ops.leaky_relu(norm(conv(x)), 0.2)
        return self.lstm(x)


class DurationEncoder(nn.Module):
    """LSTMs with the style concatenated at every step, each followed by an adaptive layer norm."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        size, style = config.hidden_dim, config.style_dim
        self.layers = []
        for _ in range(config.n_layer):
            self.layers += [BiLSTM(size + style, size // 2), AdaLayerNorm(style, size)]

    def __call__(self, x: mx.array, style: mx.array) -> mx.array:
        """Encode for the durations. Shapes: x [B, L, D], style [B, S] -> [B, L, D + S]."""
        every_step = mx.broadcast_to(style[:, None], (*x.shape[:2], style.shape[-1]))  # [B, L, S]
        x = mx.concatenate([x, every_step], axis=-1)
        for lstm, norm in zip(self.layers[::2], self.layers[1::2], strict=True):
            x = mx.concatenate([norm(lstm(x), style), every_step], axis=-1)
        return x


class Curve(nn.Module):
    """Three style blocks, the second of which doubles the rate, and a projection: pitch or energy."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        size, style = config.hidden_dim, config.style_dim
        self.blocks = [
            StyleBlock(size, size, style),
            StyleBlock(size, size // 2, style, upsample=True),
            StyleBlock(size // 2, size // 2, style),
        ]
        self.proj = nn.Linear(size // 2, 1)

    def __call__(self, x: mx.array, style: mx.array) -> mx.array:
        """Predict two values for each frame. Shapes: x [B, T, D], style [B, S] -> [B, 2T]."""
        for block in self.blocks:
            x = block(x, style)
        return linear(self.proj, x).squeeze(-1)


class ProsodyPredictor(nn.Module):
    """Durations of the phonemes, then pitch and energy of the frames."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        size, style = config.hidden_dim, config.style_dim
        self.text_encoder = DurationEncoder(config)
        self.lstm = BiLSTM(size + style, size // 2)
        self.duration_proj = nn.Linear(size, config.max_dur)
        self.shared = BiLSTM(size + style, size // 2)
        self.f0 = Curve(config)
        self.n = Curve(config)

    def durations(self, x: mx.array, style: mx.array) -> tuple[mx.array, mx.array]:
        """Return the features of each phoneme and the logits of its duration.

        Shapes: x [B, L, D], style [B, S] -> [B, L, D + S], [B, L, max_dur].
        """
        features = self.text_encoder(x, style)
        return features, linear(self.duration_proj, self.lstm(features))

    def curves(self, features: mx.array, style: mx.array) -> tuple[mx.array, mx.array]:
        """Return the pitch in Hz and the energy. Shapes: features [B, T, D + S], style [B, S] -> two of [B, 2T]."""
        x = self.shared(features)
        return self.f0(x, style), self.n(x, style)
