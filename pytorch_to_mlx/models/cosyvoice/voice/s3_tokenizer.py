"""The supervised speech tokenizer (S3), version 2: 25 tokens a second, each 8 numbers of -1, 0 or 1.

Du et al. 2024, "CosyVoice 2", section 2.2; finite scalar quantization of Mentzer et al. 2023.
Reference: PyPI s3tokenizer 0.3.0, model_v2.py, and the graph of speech_tokenizer_v2.onnx.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from ....audio.mel import whisper_log_mel
from ....backend import ops
from ....config import number
from ....errors import UsageError
from ....nn.conv import Conv1d
from ....nn.linear import layer_norm, linear
from ....nn.rope import rotary_tables
from ....taps import tap

WINDOW, OVERLAP = 3000, 400  # frames of 10 ms: 30 s, 4 s of them shared with the next window
ROPE_THETA = 10000.0
TANH_SCALE = 0.9990000128746033  # under 1, in the reference


@dataclass(frozen=True)
class SpeechTokenizerConfig:
    """Sizes; the epsilons are those of the two layer norms in a block, which differ between exports."""

    n_mels: int = 128
    n_audio_state: int = 1280
    n_audio_head: int = 20
    n_audio_layer: int = 6
    fsmn_kernel: int = 31
    code_size: int = 8
    attn_norm_eps: float = number(1e-5, low=0.0, high=1e-2)
    mlp_norm_eps: float = number(1e-5, low=0.0, high=1e-2)

    def __post_init__(self) -> None:
        if self.n_audio_state % self.n_audio_head or self.n_audio_state // self.n_audio_head % 2:
            raise ValueError(f"n_audio_head {self.n_audio_head} does not divide n_audio_state {self.n_audio_state}")
        if self.fsmn_kernel % 2 == 0 or self.code_size > 16:
            raise ValueError("fsmn_kernel must be odd, and a code has at most 16 numbers")

    @property
    def codebook_size(self) -> int:
        """How many different tokens there are: each digit of a code is -1, 0 or 1."""
        return 3**self.code_size

    @classmethod
    def tiny(cls) -> "SpeechTokenizerConfig":
        """Return small sizes for tests."""
        return cls(n_audio_state=64, n_audio_head=1, n_audio_layer=2)


def tokenizer_features(samples: np.ndarray | mx.array) -> mx.array:
    """Return Whisper's features with 128 bands. Shapes: samples [L] at 16 kHz -> [1, L // 160, 128]."""
    return whisper_log_mel(mx.array(samples), 128)[None]


class FsmnAttention(nn.Module):
    """Self-attention with rotary positions, plus a memory: a convolution over the values of each channel.

    Source: Gao et al. 2020, "SAN-M", eq. 7-9.
    """

    def __init__(self, config: SpeechTokenizerConfig) -> None:
        super().__init__()
        state = config.n_audio_state
        self.heads = config.n_audio_head
        self.query = nn.Linear(state, state)
        self.key = nn.Linear(state, state, bias=False)
        self.value = nn.Linear(state, state)
        self.out = nn.Linear(state, state)
        kernel = config.fsmn_kernel
        self.memory = Conv1d(state, state, kernel, padding=kernel // 2, groups=state, bias=False)

    def __call__(self, x: mx.array, cos: mx.array, sin: mx.array) -> mx.array:
        """Shapes: x [B, T, D], cos and sin [T, D / 2H] -> [B, T, D]."""
        values = linear(self.value, x)
        q, k = (ops.rotate(self._split(linear(layer, x)), cos, sin) for layer in (self.query, self.key))
        y = ops.attention(q, k, self._split(values), scale=q.shape[-1] ** -0.5)  # [B, H, T, D / H]
        y = linear(self.out, y.transpose(0, 2, 1, 3).reshape(x.shape))
        return y + (self.memory(values) + values)

    def _split(self, x: mx.array) -> mx.array:
        """Split the features into heads. Shapes: x [B, T, D] -> [B, H, T, D / H]."""
        return x.reshape(*x.shape[:2], self.heads, -1).transpose(0, 2, 1, 3)


class Block(nn.Module):
    """Pre-norm attention with memory, and feed-forward."""

    def __init__(self, config: SpeechTokenizerConfig) -> None:
        super().__init__()
        state = config.n_audio_state
        self.attn = FsmnAttention(config)
        self.attn_ln = nn.LayerNorm(state, eps=config.attn_norm_eps)
        self.mlp1 = nn.Linear(state, 4 * state)
        self.mlp2 = nn.Linear(4 * state, state)
        self.mlp_ln = nn.LayerNorm(state, eps=config.mlp_norm_eps)

    def __call__(self, x: mx.array, cos: mx.array, sin: mx.array) -> mx.array:
        """Shapes: x [B, T, D], cos and sin [T, D / 2H] -> [B, T, D]."""
        x = x + self.attn(layer_norm(self.attn_ln, x), cos, sin)
        return x + linear(self.mlp2, ops.gelu(linear(self.mlp1, layer_norm(self.mlp_ln, x))))


class WindowedTokenizer(nn.Module, ABC):
    """Tokenize a recording of any length, window by window. frames_per_token: of 10 ms."""

    frames_per_token = 4
    conv1: Conv1d

    @abstractmethod
    def encode(self, log_mel: mx.array) -> mx.array:
        """Return the tokens of one window. Shapes: log_mel [B, T, M], T at most WINDOW -> [B, L] int32."""

    def __call__(self, log_mel: mx.array) -> mx.array:
        """Return the tokens of a recording of any length.

        More than 30 s are read in windows that overlap by 4 s; each of two neighbours gives 2 s of these.
        Shapes: log_mel [1, T, M] -> [1, ceil(T / frames_per_token)] int32. Raises: UsageError if there is no frame.
        Source: s3tokenizer 0.3.0, which starts one more window where the last has already reached the end, and so
        loses up to 2 s there.
        """
        length = log_mel.shape[1]
        if not length:
            raise UsageError("there is no audio to tokenize", fix="give at least 0.01 s")
        tap("log_mel", log_mel)
        ids, start, half = [], 0, OVERLAP // 2 // self.frames_per_token
        while True:
            window = self.encode(log_mel[:, start : start + WINDOW])
            last = start + WINDOW >= length
            ids.append(window[:, half if start else 0 : None if last else -half])
            mx.eval(ids[-1])
            if last:
                return tap("speech_tokens", mx.concatenate(ids, axis=1))
            start += WINDOW - OVERLAP


class SpeechTokenizer(WindowedTokenizer):
    """A transformer encoder, and the index of its rounded code."""

    def __init__(self, config: SpeechTokenizerConfig) -> None:
        super().__init__()
        state = config.n_audio_state
        self.conv1 = Conv1d(config.n_mels, state, 3, stride=2, padding=1)
        self.conv2 = Conv1d(state, state, 3, stride=2, padding=1)
        self.blocks = [Block(config) for _ in range(config.n_audio_layer)]
        self.project = nn.Linear(state, config.code_size)

    def encode(self, log_mel: mx.array) -> mx.array:
        """Return the tokens of one window. Shapes: log_mel [B, T, M], T at most WINDOW -> [B, ceil(T / 4)] int32."""
        x = ops.gelu(self.conv2(ops.gelu(self.conv1(log_mel))))
        head_dim = x.shape[2] // self.blocks[0].attn.heads
        tables = rotary_tables(mx.arange(x.shape[1]), head_dim, ROPE_THETA)
        cos, sin = (table.astype(x.dtype) for table in tables)
        for block in self.blocks:
            x = block(x, cos, sin)
        levels = mx.tanh(linear(self.project, x).astype(mx.float32)) * TANH_SCALE  # [B, T, 8]
        digits = mx.round(levels).astype(mx.int32) + 1
        return (digits * mx.array([3**i for i in range(digits.shape[-1])])).sum(axis=-1)
