"""Marian: a transformer encoder, and a decoder with attention or a simple recurrent cell; norms after each part.

Module names are transformers'. References: transformers 5.23, models/marian/modeling_marian.py; marian-dev 1.12,
src/models/transformer.h and src/rnn/cells.h.
"""

import math
from typing import Any

import mlx.core as mx
import mlx.nn as nn

from ...backend import ops
from ...errors import UsageError
from ...nn.attention import CachedAttention
from ...nn.cache import DecoderState, LayerState, RowMemory
from ...nn.linear import layer_norm, linear
from ...nn.output import OutputLayer
from ...taps import tap
from .config import NO_TOKEN, Activation, Config


def activate(name: Activation, x: mx.array) -> mx.array:
    """Apply the activation of this name. Shapes: x, any -> the same. Source: transformers 5.23, activations.py."""
    if name == "relu":
        return mx.maximum(x, 0)
    if name in ("swish", "silu"):
        return ops.silu(x)
    if name == "gelu":
        return ops.gelu(x)
    return ops.gelu_tanh(x) if name == "gelu_new" else x * ops.sigmoid(1.702 * x)


class FeedForward(nn.Module):
    """fc2(activation(fc1(x))). Vaswani et al. 2017, section 3.3."""

    def __init__(self, hidden_size: int, ffn_dim: int, activation: Activation) -> None:
        super().__init__()
        self.activation: Activation = activation
        self.fc1 = nn.Linear(hidden_size, ffn_dim)
        self.fc2 = nn.Linear(ffn_dim, hidden_size)

    def __call__(self, x: mx.array) -> mx.array:
        """Apply the layer. Shapes: x [B, L, D] -> [B, L, D]."""
        return linear(self.fc2, activate(self.activation, linear(self.fc1, x)))


class EncoderLayer(nn.Module):
    """x = norm(x + attention(x)), then x = norm(x + feed-forward(x))."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        size, eps = config.d_model, config.layer_norm_eps
        self.self_attn = CachedAttention(size, config.encoder_attention_heads)
        self.self_attn_layer_norm = nn.LayerNorm(size, eps)
        self.ffn = FeedForward(size, config.encoder_ffn_dim, config.activation_function)
        self.final_layer_norm = nn.LayerNorm(size, eps)

    def __call__(self, x: mx.array, mask: mx.array | None) -> mx.array:
        """Apply the layer. Shapes: x [B, S, D], mask [B, 1, 1, S] -> [B, S, D]."""
        x = layer_norm(self.self_attn_layer_norm, x + self.self_attn(x, *self.self_attn.keys_values(x), mask))
        return layer_norm(self.final_layer_norm, x + self.ffn(x))


class SelfMemory(nn.Module):
    """Causal self-attention over the tokens so far."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.attention = CachedAttention(config.d_model, config.decoder_attention_heads)

    def __call__(self, x: mx.array, past: Any, rows: mx.array) -> tuple[mx.array, RowMemory]:
        """Attend to what is past and to x; also return the memory. Shapes: x [B, L, D], rows [B, T] -> [B, L, D]."""
        past = past or RowMemory()
        return self.attention.to_past(x, past, rows), past


class SimpleRecurrence(nn.Module):
    """The simpler simple recurrent unit: f = σ(W_f x + b_f), c = f · c + (1 - f) · W x, y = relu(c).

    Source: Kim et al. 2019, "From Research to Production and Back", section 3.1; marian-dev 1.12, rnn/cells.h `SSRU`.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.cell_proj = nn.Linear(config.d_model, config.d_model, bias=False)
        self.forget_proj = nn.Linear(config.d_model, config.d_model)

    def __call__(self, x: mx.array, past: Any, rows: mx.array) -> tuple[mx.array, mx.array]:
        """Go on from the cell; also return the new one. Shapes: x [B, L, D], cell [B, D] -> [B, L, D]."""
        forget = ops.sigmoid(linear(self.forget_proj, x))
        gain = (1 - forget) * linear(self.cell_proj, x)
        cell = mx.zeros_like(gain[:, 0]) if past is None else past
        cells = []
        for step in range(x.shape[1]):
            cell = forget[:, step] * cell + gain[:, step]
            cells.append(cell)
        return mx.maximum(mx.stack(cells, axis=1), 0), cell


class DecoderLayer(nn.Module):
    """Memory of the tokens so far, attention to the source and a feed-forward layer, each added and normalised."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        size, eps = config.d_model, config.layer_norm_eps
        self.memory = SelfMemory(config) if config.decoder_cell == "attention" else SimpleRecurrence(config)
        self.memory_layer_norm = nn.LayerNorm(size, eps)
        self.encoder_attn = CachedAttention(size, config.decoder_attention_heads)
        self.encoder_attn_layer_norm = nn.LayerNorm(size, eps)
        self.ffn = FeedForward(size, config.decoder_ffn_dim, config.activation_function)
        self.final_layer_norm = nn.LayerNorm(size, eps)

    def __call__(
        self, x: mx.array, state: LayerState, rows: mx.array, mask: mx.array | None
    ) -> tuple[mx.array, LayerState]:
        """Apply the layer to new steps; also return the new state. Shapes: x [B, L, D], rows [B, T] -> [B, L, D]."""
        y, past = self.memory(x, state.past, rows)
        x = layer_norm(self.memory_layer_norm, x + y)
        x = layer_norm(self.encoder_attn_layer_norm, x + self.encoder_attn(x, state.cross_k, state.cross_v, mask))
        x = layer_norm(self.final_layer_norm, x + self.ffn(x))
        return x, state._replace(past=past)


class Encoder(nn.Module):
    """`encoder_layers` layers over the source. positions: a table, since some checkpoints hold their own."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.embed_positions = mx.zeros((config.max_position_embeddings, config.d_model))
        self.layers = [EncoderLayer(config) for _ in range(config.encoder_layers)]

    def __call__(self, x: mx.array, mask: mx.array | None) -> mx.array:
        """Encode embeddings. Shapes: x [B, S, D], mask [B, 1, 1, S] -> [B, S, D]."""
        x = x + positions(self.embed_positions, 0, x.shape[1]).astype(x.dtype)
        for layer in self.layers:
            x = layer(x, mask)
        return x


class Decoder(nn.Module):
    """`decoder_layers` layers over the tokens so far."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.embed_positions = mx.zeros((config.max_position_embeddings, config.d_model))
        self.layers = [DecoderLayer(config) for _ in range(config.decoder_layers)]

    def start(self, encoded: mx.array, mask: mx.array | None) -> DecoderState:
        """Return the state before the first token. Shapes: encoded [B, S, D], mask [B, 1, 1, S]."""
        return DecoderState(
            tuple(LayerState(None, *layer.encoder_attn.keys_values(encoded)) for layer in self.layers), mask
        )

    def __call__(self, x: mx.array, state: DecoderState) -> tuple[mx.array, DecoderState]:
        """Decode new steps; also return the new state. Shapes: x [B, L, D] -> [B, L, D]."""
        x = x + positions(self.embed_positions, state.offset, x.shape[1]).astype(x.dtype)
        rows, layers = state.extended(*x.shape[:2]), []
        index = mx.array(rows)
        for layer, layer_state in zip(self.layers, state.layers, strict=True):
            x, layer_state = layer(x, layer_state, index, state.mask)
            layers.append(layer_state)
        return x, DecoderState(tuple(layers), state.mask, rows)


def positions(table: mx.array, offset: int, length: int) -> mx.array:
    """Return rows of a table of positions. Raises: UsageError beyond its end."""
    if offset + length > table.shape[0]:
        raise UsageError(f"{offset + length} tokens, the model has {table.shape[0]} positions")
    return table[offset : offset + length]


class Model(nn.Module):
    """The encoder, the decoder, their embeddings, and the output layer, which is the decoder's embedding or its own."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self._config = config
        if config.share_encoder_decoder_embeddings:
            self.shared = nn.Embedding(config.vocab_size, config.d_model)
        else:
            self.source_embedding = nn.Embedding(config.vocab_size, config.d_model)
            self.target_embedding = nn.Embedding(config.target_vocab_size, config.d_model)
        if not config.tie_word_embeddings:
            self.lm_head = nn.Linear(config.d_model, config.target_vocab_size, bias=False)
        self.final_logits_bias = mx.zeros(config.target_vocab_size)
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)

    @property
    def config(self) -> Config:
        """Return the sizes that the model was built with."""
        return self._config

    def embed(self, side: str, tokens: mx.array) -> mx.array:
        """Return scaled embeddings; NO_TOKEN has zeros. side: "source" or "target". Shapes: [B, L] -> [B, L, D]."""
        table = self.shared if self._config.share_encoder_decoder_embeddings else self[f"{side}_embedding"]
        x = table(mx.maximum(tokens, 0))
        if self._config.pad_token_id == NO_TOKEN:
            x = mx.where((tokens == NO_TOKEN)[..., None], 0, x)
        return x * math.sqrt(self._config.d_model) if self._config.scale_embedding else x

    def encode(self, tokens: mx.array, mask: mx.array | None = None) -> DecoderState:
        """Encode sources and return the decoder's state before its first token.

        Shapes: tokens [B, S], mask [B, 1, 1, S], True where it is not padding.
        """
        encoded = tap("encoder", self.encoder(self.embed("source", tokens), mask))
        return self.decoder.start(encoded, mask)

    def decode(self, tokens: mx.array, state: DecoderState) -> tuple[mx.array, DecoderState]:
        """Return what the output layer reads after each token, and the new state. Shapes: [B, L] -> [B, L, D]."""
        return self.decoder(self.embed("target", tokens), state)

    @property
    def output(self) -> OutputLayer:
        """Return the output layer: one of its own, or the target's embedding."""
        config = self._config
        if not config.tie_word_embeddings:
            return OutputLayer(self.lm_head, self.final_logits_bias)
        table = self.shared if config.share_encoder_decoder_embeddings else self.target_embedding
        return OutputLayer(table, self.final_logits_bias)

    def logits(self, hidden: mx.array) -> mx.array:
        """Return the scores of the next token in float32. Shapes: hidden [..., D] -> [..., V]."""
        return self.output.logits(hidden)

    def __call__(self, source: mx.array, target: mx.array, mask: mx.array | None = None) -> mx.array:
        """Return the logits after each target token. Shapes: source [B, S], target [B, L] -> [B, L, V]."""
        hidden, _ = self.decode(tap("tokens", target), self.encode(source, mask))
        return tap("logits", self.logits(hidden))
