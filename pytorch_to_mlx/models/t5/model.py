"""T5: an encoder and a decoder whose attention knows positions only by distance. Raffel et al. 2020, section 2.1.

Reference: transformers 5.23, models/t5/modeling_t5.py.
"""

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from ...backend import ops
from ...nn.attention import CachedAttention
from ...nn.cache import DecoderState, LayerState, RowMemory
from ...nn.linear import linear
from ...nn.output import OutputLayer
from ...nn.relative import distance_buckets
from ...taps import tap
from .config import Config


def rms_norm(norm: nn.RMSNorm, x: mx.array) -> mx.array:
    """Divide by the root mean square of the last axis, and scale. Shapes: x [..., D] -> the same."""
    return ops.rms_norm(x, norm.weight, norm.eps)


class FeedForward(nn.Module):
    """wo(activation(wi_0(x)) · wi_1(x)), or without a gate wo(activation(wi_0(x))).

    Source: Shazeer 2020, "GLU Variants Improve Transformer", eq. 6.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.activation = config.feed_forward_proj.removeprefix("gated-")
        self.wi_0 = nn.Linear(config.d_model, config.d_ff, bias=False)
        if config.feed_forward_proj.startswith("gated-"):
            self.wi_1 = nn.Linear(config.d_model, config.d_ff, bias=False)
        self.wo = nn.Linear(config.d_ff, config.d_model, bias=False)

    def __call__(self, x: mx.array) -> mx.array:
        """Apply the layer. Shapes: x [B, L, D] -> [B, L, D]."""
        y = linear(self.wi_0, x)
        if self.activation == "relu":
            y = mx.maximum(y, 0)
        elif self.activation == "silu":
            y = ops.silu(y)
        else:  # "gated-gelu" means the tanh form in transformers, "gelu" alone the exact one
            y = ops.gelu_tanh(y) if "wi_1" in self else ops.gelu(y)
        return linear(self.wo, y * linear(self.wi_1, x) if "wi_1" in self else y)


class DistanceBias(nn.Module):
    """What attention adds to its scores by the bucket of the distance. Raffel et al. 2020, section 2.1."""

    def __init__(self, config: Config, *, bidirectional: bool) -> None:
        super().__init__()
        self.weight = mx.zeros((config.relative_attention_num_buckets, config.num_heads))
        self._sizes = config.relative_attention_num_buckets, config.relative_attention_max_distance
        self._bidirectional = bidirectional

    def __call__(self, offset: int, length: int, n_keys: int) -> mx.array:
        """Return the bias of steps from `offset` on to keys from 0 on; later keys get -inf where only the past counts.

        Shapes: -> [1, H, length, n_keys].
        """
        distances = np.arange(n_keys)[None, :] - np.arange(offset, offset + length)[:, None]
        buckets = distance_buckets(distances, *self._sizes, bidirectional=self._bidirectional)
        bias = self.weight[mx.array(buckets)].transpose(2, 0, 1)[None]
        return bias if self._bidirectional else mx.where(mx.array(np.greater(distances, 0)), -float("inf"), bias)


def attention(config: Config) -> CachedAttention:
    """Return attention without biases, and without the division by sqrt(d_kv), which T5's initial weights hold."""
    return CachedAttention(config.d_model, config.num_heads, config.d_kv, bias=False, scale=1.0)


class EncoderLayer(nn.Module):
    """x = x + attention(norm(x)), then x = x + feed-forward(norm(x))."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.self_attn, self.ffn = attention(config), FeedForward(config)
        self.self_attn_norm = nn.RMSNorm(config.d_model, config.layer_norm_epsilon)
        self.ffn_norm = nn.RMSNorm(config.d_model, config.layer_norm_epsilon)

    def __call__(self, x: mx.array, bias: mx.array) -> mx.array:
        """Apply the layer. Shapes: x [B, S, D], bias [B or 1, H, S, S] -> [B, S, D]."""
        y = rms_norm(self.self_attn_norm, x)
        x = x + self.self_attn(y, *self.self_attn.keys_values(y), bias)
        return x + self.ffn(rms_norm(self.ffn_norm, x))


class DecoderLayer(nn.Module):
    """Attention to what is past, attention to the source and a feed-forward layer, each with norm before and added."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.self_attn, self.encoder_attn, self.ffn = attention(config), attention(config), FeedForward(config)
        self.self_attn_norm = nn.RMSNorm(config.d_model, config.layer_norm_epsilon)
        self.encoder_attn_norm = nn.RMSNorm(config.d_model, config.layer_norm_epsilon)
        self.ffn_norm = nn.RMSNorm(config.d_model, config.layer_norm_epsilon)

    def __call__(
        self, x: mx.array, state: LayerState, rows: mx.array, bias: mx.array, mask: mx.array | None
    ) -> tuple[mx.array, LayerState]:
        """Apply the layer to new steps; also return the new state.

        Shapes: x [B, L, D], rows [B, T], bias [1, H, L, T] -> [B, L, D].
        """
        past = state.past if isinstance(state.past, RowMemory) else RowMemory()
        x = x + self.self_attn.to_past(rms_norm(self.self_attn_norm, x), past, rows, bias)
        x = x + self.encoder_attn(rms_norm(self.encoder_attn_norm, x), state.cross_k, state.cross_v, mask)
        return x + self.ffn(rms_norm(self.ffn_norm, x)), state._replace(past=past)


class Encoder(nn.Module):
    """`num_layers` layers over the source, and a norm."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.relative_bias = DistanceBias(config, bidirectional=True)
        self.layers = [EncoderLayer(config) for _ in range(config.num_layers)]
        self.norm = nn.RMSNorm(config.d_model, config.layer_norm_epsilon)

    def __call__(self, x: mx.array, mask: mx.array | None) -> mx.array:
        """Encode embeddings. Shapes: x [B, S, D], mask [B, 1, 1, S] -> [B, S, D]."""
        bias = self.relative_bias(0, x.shape[1], x.shape[1])
        bias = bias if mask is None else mx.where(mask, bias, -float("inf"))
        for layer in self.layers:
            x = layer(x, bias)
        return rms_norm(self.norm, x)


class Decoder(nn.Module):
    """The decoder's layers over the tokens so far, and a norm."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.relative_bias = DistanceBias(config, bidirectional=False)
        self.layers = [DecoderLayer(config) for _ in range(config.decoder_layers)]
        self.norm = nn.RMSNorm(config.d_model, config.layer_norm_epsilon)

    def start(self, encoded: mx.array, mask: mx.array | None) -> DecoderState:
        """Return the state before the first token. Shapes: encoded [B, S, D], mask [B, 1, 1, S]."""
        return DecoderState(
            tuple(LayerState(None, *layer.encoder_attn.keys_values(encoded)) for layer in self.layers), mask
        )

    def __call__(self, x: mx.array, state: DecoderState) -> tuple[mx.array, DecoderState]:
        """Decode new steps; also return the new state. Shapes: x [B, L, D] -> [B, L, D]."""
        rows, layers = state.extended(*x.shape[:2]), []
        bias, index = self.relative_bias(state.offset, x.shape[1], rows.shape[1]), mx.array(rows)
        for layer, layer_state in zip(self.layers, state.layers, strict=True):
            x, layer_state = layer(x, layer_state, index, bias, state.mask)
            layers.append(layer_state)
        return rms_norm(self.norm, x), DecoderState(tuple(layers), state.mask, rows)


class Model(nn.Module):
    """The encoder, the decoder, one table for both, and the output layer, which is that table or one of its own."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self._config = config
        self.shared = nn.Embedding(config.vocab_size, config.d_model)
        if config.own_head:
            self.lm_head = nn.Linear(config.d_model, config.vocab_size, bias=False)
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)

    @property
    def config(self) -> Config:
        """Return the sizes that the model was built with."""
        return self._config

    def encode(self, tokens: mx.array, mask: mx.array | None = None) -> DecoderState:
        """Encode sources and return the decoder's state before its first token.

        Shapes: tokens [B, S], mask [B, 1, 1, S], True where it is not padding.
        """
        return self.decoder.start(tap("encoder", self.encoder(self.shared(tokens), mask)), mask)

    def decode(self, tokens: mx.array, state: DecoderState) -> tuple[mx.array, DecoderState]:
        """Return what the output layer reads after each token, and the new state. Shapes: [B, L] -> [B, L, D]."""
        return self.decoder(self.shared(tokens), state)

    @property
    def output(self) -> OutputLayer:
        """Return the output layer: one of its own, or the table; the first T5 scales what it reads."""
        layer = self.lm_head if self._config.own_head else self.shared
        return OutputLayer(layer, scale=self._config.d_model**-0.5 if self._config.scale_decoder_outputs else 1.0)

    def logits(self, hidden: mx.array) -> mx.array:
        """Return the scores of the next token in float32. Shapes: hidden [..., D] -> [..., V]."""
        return self.output.logits(hidden)

    def __call__(self, source: mx.array, target: mx.array, mask: mx.array | None = None) -> mx.array:
        """Return the logits after each target token. Shapes: source [B, S], target [B, L] -> [B, L, V]."""
        hidden, _ = self.decode(tap("tokens", target), self.encode(source, mask))
        return tap("logits", self.logits(hidden))
