"""The supervised speech tokenizer (S3), version 1: 50 or 25 tokens a second, each the nearest of 4096 codes.

Du et al. 2024, "CosyVoice", section 2.1; the encoder is Whisper's (Radford et al. 2022).
Reference: PyPI s3tokenizer 0.3.0, model.py, and the graph of speech_tokenizer_v1.onnx.
"""

from dataclasses import dataclass

import mlx.core as mx
import mlx.nn as nn

from ....backend import ops
from ....config import number
from ....nn.conv import Conv1d
from ....nn.linear import layer_norm, linear
from .s3_tokenizer import WINDOW, WindowedTokenizer

FRAME_RATE = 100  # of the input


@dataclass(frozen=True)
class VQTokenizerConfig:
    """Sizes; the defaults are those of the release with 50 tokens a second. stride: of the first convolution."""

    n_mels: int = 128
    n_audio_state: int = 1280
    n_audio_head: int = 20
    n_audio_layer: int = 6
    n_audio_ctx: int = 1500
    codebook_size: int = 4096
    stride: int = number(1, low=1, high=2)
    norm_eps: float = number(1e-5, low=0.0, high=1e-2)

    def __post_init__(self) -> None:
        if self.n_audio_state % self.n_audio_head:
            raise ValueError(f"n_audio_head {self.n_audio_head} does not divide n_audio_state {self.n_audio_state}")
        if 2 * self.stride * self.n_audio_ctx < WINDOW:
            raise ValueError(f"{self.n_audio_ctx} positions are too few for {WINDOW} frames")

    @property
    def token_rate(self) -> int:
        """Tokens per second."""
        return FRAME_RATE // (2 * self.stride)

    @classmethod
    def tiny(cls) -> "VQTokenizerConfig":
        """Return small sizes for tests."""
        return cls(n_audio_state=64, n_audio_head=1, n_audio_layer=2)


class Block(nn.Module):
    """Pre-norm attention and feed-forward."""

    def __init__(self, config: VQTokenizerConfig) -> None:
        super().__init__()
        state, self.heads = config.n_audio_state, config.n_audio_head
        self.attn_ln, self.mlp_ln = (nn.LayerNorm(state, eps=config.norm_eps) for _ in range(2))
        self.query, self.value, self.out = (nn.Linear(state, state) for _ in range(3))
        self.key = nn.Linear(state, state, bias=False)
        self.mlp1 = nn.Linear(state, 4 * state)
        self.mlp2 = nn.Linear(4 * state, state)

    def __call__(self, x: mx.array) -> mx.array:
        """Shapes: x [B, T, D] -> [B, T, D]."""
        y = layer_norm(self.attn_ln, x)
        q, k, v = (
            linear(layer, y).reshape(*y.shape[:2], self.heads, -1).transpose(0, 2, 1, 3)  # [B, H, T, D / H]
            for layer in (self.query, self.key, self.value)
        )
        y = ops.attention(q, k, v, scale=q.shape[-1] ** -0.5)
        x = x + linear(self.out, y.transpose(0, 2, 1, 3).reshape(x.shape))
        return x + linear(self.mlp2, ops.gelu(linear(self.mlp1, layer_norm(self.mlp_ln, x))))


class VQTokenizer(WindowedTokenizer):
    """Whisper's encoder, and the code that its output, scaled to length 1, is nearest to."""

    def __init__(self, config: VQTokenizerConfig) -> None:
        super().__init__()
        state = config.n_audio_state
        self.frames_per_token = 2 * config.stride
        self.conv1 = Conv1d(config.n_mels, state, 3, stride=config.stride, padding=1)
        self.conv2 = Conv1d(state, state, 3, stride=2, padding=1)
        self.positional_embedding = mx.zeros((config.n_audio_ctx, state))
        self.blocks = [Block(config) for _ in range(config.n_audio_layer)]
        self.codebook = mx.random.normal((config.codebook_size, state))

    def encode(self, log_mel: mx.array) -> mx.array:
        """Return the tokens of one window.

        Shapes: log_mel [B, T, M], T at most WINDOW -> [B, ceil(T / frames_per_token)] int32.
        """
        x = ops.gelu(self.conv2(ops.gelu(self.conv1(log_mel))))
        x = x + self.positional_embedding[: x.shape[1]]
        for block in self.blocks:
            x = block(x)
        x, codes = x.astype(mx.float32), self.codebook.astype(mx.float32)
        x = x / mx.maximum(mx.linalg.norm(x, axis=-1, keepdims=True), 1e-12)
        # the nearest code c: |x|² is the same for all of them in |x - c|² = |x|² - 2 x·c + |c|²
        return mx.argmin(mx.sum(mx.square(codes), axis=-1) - 2 * ops.linear(x, codes), axis=-1).astype(mx.int32)
