"""The supervised speech tokenizer (S3), version 2: 25 tokens a second, each 8 numbers of -1, 0 or 1.

Du et al. 2024, "CosyVoice 2", section 2.2; finite scalar quantization of Mentzer et al. 2023.
Reference: PyPI s3tokenizer 0.3.0, model_v2.py, and the graph of speech_tokenizer_v2.onnx.
"""

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
from ....taps import tap

WINDOW, OVERLAP = 3000, 400  # frames of 10 ms: 30 s, of which neighbours share 4 s
FRAMES_PER_TOKEN = 4
SQUASH = 0.9990000128746033  # keeps tanh from reaching 1


@dataclass(frozen=True)
class SpeechTokenizerConfig:
    """The epsilons are those of the two layer norms in a block; each export says its own."""

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
        return 3**self.code_size

    @classmethod
    def tiny(cls) -> "SpeechTokenizerConfig":
        return cls(n_audio_state=64, n_audio_head=1, n_audio_layer=2)


def tokenizer_features(samples: np.ndarray | mx.array) -> mx.array:
    """Whisper's features with 128 bands. Shapes: samples [L] at 16 kHz -> [1, L // 160, 128]."""
    return whisper_log_mel(mx.array(samples), 128)[None]


class FsmnAttention(nn.Module):
    """Self-attention with rotary positions, and beside it a memory: a convolution over the values in each channel.

    Gao et al. 2020, "SAN-M", eq. 7-9.
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
        """Shapes: x [B, T, D], cos and sin [T, D / H] -> [B, T, D]."""
        values = linear(self.value, x)
        q, k = (turned(self.split(linear(layer, x)), cos, sin) for layer in (self.query, self.key))
        y = ops.attention(q, k, self.split(values), scale=q.shape[-1] ** -0.5)  # [B, H, T, D / H]
        y = linear(self.out, y.transpose(0, 2, 1, 3).reshape(x.shape))
        return y + (self.memory(values) + values)

    def split(self, x: mx.array) -> mx.array:
        """[B, T, D] -> [B, H, T, D / H]."""
        return x.reshape(*x.shape[:2], self.heads, -1).transpose(0, 2, 1, 3)


def rotary(length: int, size: int) -> tuple[mx.array, mx.array]:
    """Cosines and sines of position times frequency, rounded as the reference does.

    Shapes: -> two of [length, size]. Source: Su et al. 2021, eq. 34, in halves instead of pairs.
    """
    frequencies = 1 / np.float32(10000) ** (np.arange(0, size, 2, dtype=np.float32) / np.float32(size))
    angles = np.outer(np.arange(length, dtype=np.float32), frequencies.astype(np.float32))
    cos, sin = (mx.array(np.concatenate([table] * 2, axis=1)) for table in (np.cos(angles), np.sin(angles)))
    return cos, sin


def turned(x: mx.array, cos: mx.array, sin: mx.array) -> mx.array:
    left, right = mx.split(x, 2, axis=-1)
    return x * cos + mx.concatenate([-right, left], axis=-1) * sin


class Block(nn.Module):
    def __init__(self, config: SpeechTokenizerConfig) -> None:
        super().__init__()
        state = config.n_audio_state
        self.attn = FsmnAttention(config)
        self.attn_ln = nn.LayerNorm(state, eps=config.attn_norm_eps)
        self.mlp1 = nn.Linear(state, 4 * state)
        self.mlp2 = nn.Linear(4 * state, state)
        self.mlp_ln = nn.LayerNorm(state, eps=config.mlp_norm_eps)

    def __call__(self, x: mx.array, cos: mx.array, sin: mx.array) -> mx.array:
        x = x + self.attn(layer_norm(self.attn_ln, x), cos, sin)
        return x + linear(self.mlp2, ops.gelu(linear(self.mlp1, layer_norm(self.mlp_ln, x))))


class SpeechTokenizer(nn.Module):
    def __init__(self, config: SpeechTokenizerConfig) -> None:
        super().__init__()
        state = config.n_audio_state
        self.conv1 = Conv1d(config.n_mels, state, 3, stride=2, padding=1)
        self.conv2 = Conv1d(state, state, 3, stride=2, padding=1)
        self.blocks = [Block(config) for _ in range(config.n_audio_layer)]
        self.project = nn.Linear(state, config.code_size)

    def __call__(self, log_mel: mx.array) -> mx.array:
        """The tokens of a recording of any length.

        More than 30 s are read in windows that overlap by 4 s, of which each side gives 2 s.
        Shapes: log_mel [1, T, M] -> [1, ceil(T / 4)] int32. Raises: UsageError if there is no frame.
        Source: s3tokenizer 0.3.0, which starts one window more where the last has already reached the end, and so
        loses up to 2 s there.
        """
        length = log_mel.shape[1]
        if not length:
            raise UsageError("there is no audio to make tokens of", fix="give at least 0.01 s")
        tap("log_mel", log_mel)
        ids, start, half = [], 0, OVERLAP // 2 // FRAMES_PER_TOKEN
        while True:
            window = self.encode(log_mel[:, start : start + WINDOW])
            last = start + WINDOW >= length
            ids.append(window[:, half if start else 0 : None if last else -half])
            mx.eval(ids[-1])
            if last:
                return tap("speech_tokens", mx.concatenate(ids, axis=1))
            start += WINDOW - OVERLAP

    def encode(self, log_mel: mx.array) -> mx.array:
        """One window. Shapes: log_mel [B, T, M], T at most WINDOW -> [B, ceil(T / 4)] int32."""
        x = ops.gelu(self.conv2(ops.gelu(self.conv1(log_mel))))
        attn = self.blocks[0].attn
        cos, sin = (table.astype(x.dtype) for table in rotary(x.shape[1], x.shape[2] // attn.heads))
        for block in self.blocks:
            x = block(x, cos, sin)
        levels = mx.tanh(linear(self.project, x).astype(mx.float32)) * SQUASH  # [B, T, 8]
        digits = mx.round(levels).astype(mx.int32) + 1
        return (digits * mx.array([3**i for i in range(digits.shape[-1])])).sum(axis=-1)
