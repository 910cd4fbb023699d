"""Whisper: an encoder over log-mel frames and a text decoder. Radford et al. 2022, figure 1.

Module names are those of the MLX community's folders (and, but for `mlp1`/`mlp2`, of openai-whisper).
Reference: openai-whisper 20250625, whisper/model.py.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from ...backend import ops
from ...cancel import unless_cancelled
from ...errors import UsageError
from ...nn.linear import layer_norm, linear, output_logits
from ...nn.positions import sinusoids
from ...taps import tap
from .config import Config


class LayerCache(NamedTuple):
    """Keys and values of one decoder layer, all [B, H, S, D]: of the text so far, and of the audio."""

    text: tuple[mx.array, mx.array] | None
    cross_k: mx.array
    cross_v: mx.array


Cache = list[LayerCache]


class MultiHeadAttention(nn.Module):
    """Attention with a bias on query and value, none on key. Vaswani et al. 2017, section 3.2.2."""

    def __init__(self, n_state: int, n_head: int) -> None:
        super().__init__()
        self.n_head = n_head
        self.query = nn.Linear(n_state, n_state)
        self.key = nn.Linear(n_state, n_state, bias=False)
        self.value = nn.Linear(n_state, n_state)
        self.out = nn.Linear(n_state, n_state)

    def heads(self, x: mx.array) -> mx.array:
        """Split the last axis into heads. Shapes: x [B, L, D] -> [B, H, L, D / H]."""
        return x.reshape(*x.shape[:2], self.n_head, -1).transpose(0, 2, 1, 3)

    def keys_values(self, x: mx.array) -> tuple[mx.array, mx.array]:
        """Return keys and values. Shapes: x [B, S, D] -> two of [B, H, S, D / H]."""
        return self.heads(linear(self.key, x)), self.heads(linear(self.value, x))

    def __call__(self, x: mx.array, k: mx.array, v: mx.array, mask: str | None = None) -> mx.array:
        """Attend to k and v. Where k has fewer rows than x, neighbours in x (the beams of one audio) share a row.

        Shapes: x [B, L, D], k and v [rows, H, S, D / H], B a multiple of rows -> [B, L, D].
        """
        batch, length, width = x.shape
        grouped = linear(self.query, x).reshape(k.shape[0], -1, width)  # [rows, B / rows * L, D]
        q = self.heads(grouped)
        y = ops.attention(q, k, v, scale=1 / math.sqrt(q.shape[-1]), mask=mask)
        y = y.transpose(0, 2, 1, 3).reshape(batch, length, width)
        return linear(self.out, y)

    def scores(self, x: mx.array, k: mx.array) -> mx.array:
        """Return the attention logits before the softmax, for word times.

        Shapes: x [B, L, D], k [B, H, S, D / H] -> [B, H, L, S].
        """
        q = self.heads(linear(self.query, x))
        return (q @ k.swapaxes(-1, -2)) / math.sqrt(q.shape[-1])


class EncoderBlock(nn.Module):
    """x = x + attn(norm(x)), then x = x + mlp(norm(x))."""

    def __init__(self, n_state: int, n_head: int) -> None:
        super().__init__()
        self.attn = MultiHeadAttention(n_state, n_head)
        self.attn_ln = nn.LayerNorm(n_state)
        self.mlp1 = nn.Linear(n_state, 4 * n_state)
        self.mlp2 = nn.Linear(4 * n_state, n_state)
        self.mlp_ln = nn.LayerNorm(n_state)

    def __call__(self, x: mx.array) -> mx.array:
        """Apply the block. Shapes: x [B, S, D] -> [B, S, D]."""
        y = layer_norm(self.attn_ln, x)
        x = x + self.attn(y, *self.attn.keys_values(y))
        return x + linear(self.mlp2, ops.gelu(linear(self.mlp1, layer_norm(self.mlp_ln, x))))


class DecoderBlock(nn.Module):
    """Causal self-attention, cross-attention to the audio and an MLP, each with norm before and residual."""

    def __init__(self, n_state: int, n_head: int) -> None:
        super().__init__()
        self.attn = MultiHeadAttention(n_state, n_head)
        self.attn_ln = nn.LayerNorm(n_state)
        self.cross_attn = MultiHeadAttention(n_state, n_head)
        self.cross_attn_ln = nn.LayerNorm(n_state)
        self.mlp1 = nn.Linear(n_state, 4 * n_state)
        self.mlp2 = nn.Linear(4 * n_state, n_state)
        self.mlp_ln = nn.LayerNorm(n_state)

    def __call__(
        self, x: mx.array, cache: LayerCache, scores: list[mx.array] | None = None
    ) -> tuple[mx.array, LayerCache]:
        """Apply the block to new steps; also return the longer cache. `scores` receives the cross-attention logits.

        Shapes: x [B, L, D] -> [B, L, D]; scores [B, H, L, S].
        """
        y = layer_norm(self.attn_ln, x)
        k, v = self.attn.keys_values(y)
        if cache.text is not None:
            k = mx.concatenate([cache.text[0], k], axis=2)
            v = mx.concatenate([cache.text[1], v], axis=2)
        x = x + self.attn(y, k, v, mask="causal" if x.shape[1] > 1 else None)
        y = layer_norm(self.cross_attn_ln, x)
        if scores is not None:
            scores.append(self.cross_attn.scores(y, cache.cross_k))
        x = x + self.cross_attn(y, cache.cross_k, cache.cross_v)
        x = x + linear(self.mlp2, ops.gelu(linear(self.mlp1, layer_norm(self.mlp_ln, x))))
        return x, cache._replace(text=(k, v))


class AudioEncoder(nn.Module):
    """Two convolutions halve the frame rate, then `n_audio_layer` blocks."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        state = config.n_audio_state
        self.conv1 = nn.Conv1d(config.n_mels, state, kernel_size=3, padding=1)
        self.conv2 = nn.Conv1d(state, state, kernel_size=3, stride=2, padding=1)
        self.positional_embedding = sinusoids(
            config.n_audio_ctx, state
        )  # a weight, since float16 checkpoints hold it rounded
        self.blocks = [EncoderBlock(state, config.n_audio_head) for _ in range(config.n_audio_layer)]
        self.ln_post = nn.LayerNorm(state)

    def __call__(self, mel: mx.array) -> mx.array:
        """Encode log-mel frames. Shapes: mel [B, 2 * n_audio_ctx, M] -> [B, n_audio_ctx, D]."""
        x = ops.gelu(ops.conv1d(tap("mel", mel), self.conv1.weight, self.conv1.bias, padding=1))
        x = tap("encoder.conv", ops.gelu(ops.conv1d(x, self.conv2.weight, self.conv2.bias, stride=2, padding=1)))
        x = x + self.positional_embedding
        for block in self.blocks:
            x = unless_cancelled(block(x))
        return tap("encoder", layer_norm(self.ln_post, x))


class TextDecoder(nn.Module):
    """`n_text_layer` blocks over token and position embeddings; the output layer is the token embedding."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        state = config.n_text_state
        self.token_embedding = nn.Embedding(config.n_vocab, state)
        self.positional_embedding = mx.zeros((config.n_text_ctx, state))
        self.blocks = [DecoderBlock(state, config.n_text_head) for _ in range(config.n_text_layer)]
        self.ln = nn.LayerNorm(state)

    def start(self, audio: mx.array) -> Cache:
        """Return the cache before the first token: the keys and values of the audio. Shapes: audio [B, S, D]."""
        return [LayerCache(None, *block.cross_attn.keys_values(audio)) for block in self.blocks]

    def __call__(self, tokens: mx.array, cache: Cache, scores: list[mx.array] | None = None) -> tuple[mx.array, Cache]:
        """Decode new tokens; also return the longer cache. `scores` receives the cross-attention logits of each block.

        Shapes: tokens [B, L] -> logits [B, L, V].
        Raises: UsageError if the text would be longer than the positions of the model.
        """
        offset = 0 if cache[0].text is None else cache[0].text[0].shape[2]
        end = offset + tokens.shape[1]
        if end > self.positional_embedding.shape[0]:
            raise UsageError(f"{end} tokens, the model has {self.positional_embedding.shape[0]} positions")
        x = self.token_embedding(tokens) + self.positional_embedding[offset:end]
        new_cache = []
        for block, layer_cache in zip(self.blocks, cache, strict=True):
            x, layer_cache = block(x, layer_cache, scores)
            new_cache.append(layer_cache)
        return output_logits(self.token_embedding, layer_norm(self.ln, x)), new_cache


class Model(nn.Module):
    """The encoder and the decoder."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.encoder = AudioEncoder(config)
        self.decoder = TextDecoder(config)
        self._config = config

    @property
    def config(self) -> Config:
        """Return the sizes that the model was built with."""
        return self._config

    def __call__(self, mel: mx.array, tokens: mx.array) -> mx.array:
        """Return the logits after each token. Shapes: mel [B, 2 * n_audio_ctx, M], tokens [B, L] -> [B, L, V]."""
        return tap("logits", self.decoder(tap("tokens", tokens), self.decoder.start(self.encoder(mel)))[0])


def select(cache: Cache, rows: Sequence[int] | np.ndarray) -> Cache:
    """Return the cache of other beams: row i of the text is row rows[i] of `cache`; the rows of the audio stay."""
    text = cache[0].text
    if text is None or list(rows) == list(range(text[0].shape[0])):
        return cache
    index = mx.array(np.asarray(rows))
    return [
        layer._replace(text=(layer.text[0][index], layer.text[1][index])) for layer in cache if layer.text is not None
    ]
