"""M2M100 and NLLB-200: a transformer encoder and decoder that normalise before each part, and once at their end.

Module names are transformers'. Reference: transformers 5.23, models/m2m_100/modeling_m2m_100.py.
"""

import math

import mlx.core as mx
import mlx.nn as nn

from ...errors import UsageError
from ...nn.attention import CachedAttention
from ...nn.cache import DecoderState, LayerState, RowMemory
from ...nn.linear import layer_norm, linear
from ...nn.output import OutputLayer
from ...nn.positions import sinusoids
from ...taps import tap
from .config import Config

FIRST_POSITION = 2  # of a sequence: fairseq counts from the padding's id, and from 1


class FeedForward(nn.Module):
    """fc2(relu(fc1(x))). Vaswani et al. 2017, section 3.3."""

    def __init__(self, hidden_size: int, ffn_dim: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(hidden_size, ffn_dim)
        self.fc2 = nn.Linear(ffn_dim, hidden_size)

    def __call__(self, x: mx.array) -> mx.array:
        """Apply the layer. Shapes: x [B, L, D] -> [B, L, D]."""
        return linear(self.fc2, linear(self.fc1, x, slope=0.0))


class EncoderLayer(nn.Module):
    """x = x + attention(norm(x)), then x = x + feed-forward(norm(x))."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.self_attn = CachedAttention(config.d_model, config.encoder_attention_heads)
        self.self_attn_layer_norm = nn.LayerNorm(config.d_model)
        self.ffn = FeedForward(config.d_model, config.encoder_ffn_dim)
        self.final_layer_norm = nn.LayerNorm(config.d_model)

    def __call__(self, x: mx.array, mask: mx.array | None) -> mx.array:
        """Apply the layer. Shapes: x [B, S, D], mask [B, 1, 1, S] -> [B, S, D]."""
        y = layer_norm(self.self_attn_layer_norm, x)
        x = x + self.self_attn(y, *self.self_attn.keys_values(y), mask)
        return x + self.ffn(layer_norm(self.final_layer_norm, x))


class DecoderLayer(nn.Module):
    """Causal self-attention, attention to the source and a feed-forward layer, each with norm before and added."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        size, heads = config.d_model, config.decoder_attention_heads
        self.self_attn = CachedAttention(size, heads)
        self.self_attn_layer_norm = nn.LayerNorm(size)
        self.encoder_attn = CachedAttention(size, heads)
        self.encoder_attn_layer_norm = nn.LayerNorm(size)
        self.ffn = FeedForward(size, config.decoder_ffn_dim)
        self.final_layer_norm = nn.LayerNorm(size)

    def __call__(
        self, x: mx.array, state: LayerState, rows: mx.array, mask: mx.array | None
    ) -> tuple[mx.array, LayerState]:
        """Apply the layer to new steps; also return the new state. Shapes: x [B, L, D], rows [B, T] -> [B, L, D]."""
        past = state.past if isinstance(state.past, RowMemory) else RowMemory()
        x = x + self.self_attn.to_past(layer_norm(self.self_attn_layer_norm, x), past, rows)
        y = layer_norm(self.encoder_attn_layer_norm, x)
        x = x + self.encoder_attn(y, state.cross_k, state.cross_v, mask)
        x = x + self.ffn(layer_norm(self.final_layer_norm, x))
        return x, state._replace(past=past)


class Encoder(nn.Module):
    """`encoder_layers` layers over the source, and a norm."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.layers = [EncoderLayer(config) for _ in range(config.encoder_layers)]
        self.layer_norm = nn.LayerNorm(config.d_model)

    def __call__(self, x: mx.array, mask: mx.array | None) -> mx.array:
        """Encode embeddings. Shapes: x [B, S, D], mask [B, 1, 1, S] -> [B, S, D]."""
        for layer in self.layers:
            x = layer(x, mask)
        return layer_norm(self.layer_norm, x)


class Decoder(nn.Module):
    """`decoder_layers` layers over the tokens so far, and a norm."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.layers = [DecoderLayer(config) for _ in range(config.decoder_layers)]
        self.layer_norm = nn.LayerNorm(config.d_model)

    def start(self, encoded: mx.array, mask: mx.array | None) -> DecoderState:
        """Return the state before the first token. Shapes: encoded [B, S, D], mask [B, 1, 1, S]."""
        return DecoderState(
            tuple(LayerState(None, *layer.encoder_attn.keys_values(encoded)) for layer in self.layers), mask
        )

    def __call__(self, x: mx.array, state: DecoderState) -> tuple[mx.array, DecoderState]:
        """Decode new steps; also return the new state. Shapes: x [B, L, D] -> [B, L, D]."""
        rows, layers = state.extended(*x.shape[:2]), []
        index = mx.array(rows)
        for layer, layer_state in zip(self.layers, state.layers, strict=True):
            x, layer_state = layer(x, layer_state, index, state.mask)
            layers.append(layer_state)
        return layer_norm(self.layer_norm, x), DecoderState(tuple(layers), state.mask, rows)


class Model(nn.Module):
    """The encoder, the decoder, and one table for source, target and output layer."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self._config = config
        self._positions = sinusoids(config.max_position_embeddings + FIRST_POSITION, config.d_model)
        self.shared = nn.Embedding(config.vocab_size, config.d_model)
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)

    @property
    def config(self) -> Config:
        """Return the sizes that the model was built with."""
        return self._config

    def embed(self, tokens: mx.array, offset: int = 0) -> mx.array:
        """Return scaled embeddings with positions. Padding stands at the end, so that it moves no token.

        Shapes: tokens [B, L] -> [B, L, D]. Raises: UsageError beyond the last position.
        """
        start, end = offset + FIRST_POSITION, offset + FIRST_POSITION + tokens.shape[1]
        if end > self._positions.shape[0]:
            most = self._config.max_position_embeddings
            raise UsageError(f"{end - FIRST_POSITION} tokens, the model has {most} positions")
        x = self.shared(tokens)
        x = x * math.sqrt(self._config.d_model) if self._config.scale_embedding else x
        return x + self._positions[start:end].astype(x.dtype)

    def encode(self, tokens: mx.array, mask: mx.array | None = None) -> DecoderState:
        """Encode sources and return the decoder's state before its first token.

        Shapes: tokens [B, S], mask [B, 1, 1, S], True where it is not padding.
        """
        return self.decoder.start(tap("encoder", self.encoder(self.embed(tokens), mask)), mask)

    def decode(self, tokens: mx.array, state: DecoderState) -> tuple[mx.array, DecoderState]:
        """Return what the output layer reads after each token, and the new state. Shapes: [B, L] -> [B, L, D]."""
        return self.decoder(self.embed(tokens, state.offset), state)

    @property
    def output(self) -> OutputLayer:
        """Return the output layer, which is the table."""
        return OutputLayer(self.shared)

    def logits(self, hidden: mx.array) -> mx.array:
        """Return the scores of the next token in float32. Shapes: hidden [..., D] -> [..., V]."""
        return self.output.logits(hidden)

    def __call__(self, source: mx.array, target: mx.array, mask: mx.array | None = None) -> mx.array:
        """Return the logits after each target token. Shapes: source [B, S], target [B, L] -> [B, L, V]."""
        hidden, _ = self.decode(tap("tokens", target), self.encode(source, mask))
        return tap("logits", self.logits(hidden))
