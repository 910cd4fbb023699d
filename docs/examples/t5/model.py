"""T5ForConditionalGeneration in MLX, written by pytorch-to-mlx.

Original: transformers.models.t5.modeling_t5.T5ForConditionalGeneration
"""

import json
from pathlib import Path

import mlx.core as mx
import mlx.nn as nn


class T5Attention(nn.Module):
    """transformers.models.t5.modeling_t5.T5Attention"""

    def __init__(
        self, has_relative_attention_bias, d_model, relative_attention_num_buckets, n_heads, key_value_proj_dim
    ):
        super().__init__()
        self.has_relative_attention_bias = has_relative_attention_bias
        self.n_heads = n_heads
        self.key_value_proj_dim = key_value_proj_dim
        self.q = nn.Linear(d_model, d_model, bias=False)
        self.k = nn.Linear(d_model, d_model, bias=False)
        self.v = nn.Linear(d_model, d_model, bias=False)
        self.o = nn.Linear(d_model, d_model, bias=False)
        if has_relative_attention_bias:
            self.relative_attention_bias = nn.Embedding(relative_attention_num_buckets, n_heads)

    def __call__(self, hidden_states, mask=None, key_value_states=None, position_bias=None):
        if key_value_states is None:
            key_value_states = hidden_states
        query_states = mx.unflatten(self.q(hidden_states), -1, [-1, self.key_value_proj_dim]).swapaxes(1, 2)
        key_states = mx.unflatten(self.k(key_value_states), -1, [-1, self.key_value_proj_dim]).swapaxes(1, 2)
        value_states = mx.unflatten(self.v(key_value_states), -1, [-1, self.key_value_proj_dim]).swapaxes(1, 2)
        if mask is None:
            if self.has_relative_attention_bias:
                length_2 = key_value_states.shape[1]
                position_bias = mx.arange(length_2, dtype=mx.int64)
                position_bias = mx.expand_dims(position_bias, 0) - mx.expand_dims(position_bias, 1)
                position_bias_2_2 = mx.abs(position_bias)
                position_bias_2 = (mx.log(position_bias_2_2.astype(mx.float32) / 8) / 2.772588722239781 * 8).astype(
                    mx.int64
                )
                position_bias_2 = position_bias_2 + 8
                position_bias_2_2 = mx.where(
                    position_bias_2_2 < 8,
                    position_bias_2_2,
                    mx.minimum(position_bias_2, mx.full([length_2, length_2], 15, dtype=mx.int64)),
                )
                position_bias = self.relative_attention_bias(
                    (position_bias > 0).astype(mx.int64) * 16 + position_bias_2_2
                ).transpose(2, 0, 1)
                position_bias = mx.expand_dims(position_bias, 0)
            elif position_bias is None:
                length_2 = key_value_states.shape[1]
                length = hidden_states.shape[1]
                position_bias = mx.zeros([1, self.n_heads, length, length_2], dtype=mx.float32)
            attn_output = mx.fast.scaled_dot_product_attention(
                query_states, key_states, value_states, scale=1.0, mask=position_bias
            ).swapaxes(1, 2)
        else:
            if position_bias is None:
                length = hidden_states.shape[1]
                position_bias = mx.arange(length, dtype=mx.int64)
                position_bias = mx.expand_dims(position_bias, 0) - mx.expand_dims(position_bias, 1)
                position_bias = -mx.minimum(position_bias, mx.zeros_like(position_bias))
                position_bias_2 = (mx.log(position_bias.astype(mx.float32) / 16) / 2.0794415416798357 * 16).astype(
                    mx.int64
                )
                position_bias_2 = position_bias_2 + 16
                position_bias = mx.where(
                    position_bias < 16,
                    position_bias,
                    mx.minimum(position_bias_2, mx.full([length, length], 31, dtype=mx.int64)),
                )
                position_bias = mx.expand_dims(self.relative_attention_bias(position_bias).transpose(2, 0, 1), 0)
            x = mx.fast.scaled_dot_product_attention(
                query_states,
                key_states,
                value_states,
                scale=1.0,
                mask=mx.where(mask, position_bias, -3.4028234663852886e38),
            )
            attn_output = x.swapaxes(1, 2)
        attn_output = mx.flatten(attn_output, -2, -1)
        return (self.o(attn_output), position_bias)


class T5DenseActDense(nn.Module):
    """transformers.models.t5.modeling_t5.T5DenseActDense"""

    def __init__(self, d_model, d_ff):
        super().__init__()
        self.wi = nn.Linear(d_model, d_ff, bias=False)
        self.wo = nn.Linear(d_ff, d_model, bias=False)

    def __call__(self, hidden_states):
        hidden_states = self.wi(hidden_states)
        hidden_states = nn.relu(hidden_states)
        return self.wo(hidden_states)


class T5LayerSelfAttention(nn.Module):
    """transformers.models.t5.modeling_t5.T5LayerSelfAttention"""

    def __init__(
        self,
        has_relative_attention_bias,
        d_model,
        relative_attention_num_buckets,
        layer_norm_epsilon,
        n_heads,
        key_value_proj_dim,
    ):
        super().__init__()
        self.SelfAttention = T5Attention(
            has_relative_attention_bias=has_relative_attention_bias,
            d_model=d_model,
            relative_attention_num_buckets=relative_attention_num_buckets,
            n_heads=n_heads,
            key_value_proj_dim=key_value_proj_dim,
        )
        self.layer_norm = nn.RMSNorm(d_model, eps=layer_norm_epsilon)

    def __call__(self, hidden_states, attention_mask=None, position_bias=None):
        normed_hidden_states = self.layer_norm(hidden_states)
        attention_output, position_bias = self.SelfAttention(
            normed_hidden_states, mask=attention_mask, position_bias=position_bias
        )
        return (hidden_states + attention_output, position_bias)


class T5LayerCrossAttention(nn.Module):
    """transformers.models.t5.modeling_t5.T5LayerCrossAttention"""

    def __init__(self, d_model, relative_attention_num_buckets, layer_norm_epsilon, n_heads, key_value_proj_dim):
        super().__init__()
        self.EncDecAttention = T5Attention(
            has_relative_attention_bias=False,
            d_model=d_model,
            relative_attention_num_buckets=relative_attention_num_buckets,
            n_heads=n_heads,
            key_value_proj_dim=key_value_proj_dim,
        )
        self.layer_norm = nn.RMSNorm(d_model, eps=layer_norm_epsilon)

    def __call__(self, hidden_states, key_value_states, position_bias=None):
        normed_hidden_states = self.layer_norm(hidden_states)
        attention_output, position_bias = self.EncDecAttention(
            normed_hidden_states, key_value_states=key_value_states, position_bias=position_bias
        )
        return (hidden_states + attention_output, position_bias)


class T5LayerFF(nn.Module):
    """transformers.models.t5.modeling_t5.T5LayerFF"""

    def __init__(self, d_model, d_ff, layer_norm_epsilon):
        super().__init__()
        self.DenseReluDense = T5DenseActDense(d_model=d_model, d_ff=d_ff)
        self.layer_norm = nn.RMSNorm(d_model, eps=layer_norm_epsilon)

    def __call__(self, hidden_states):
        forwarded_states = self.layer_norm(hidden_states)
        forwarded_states = self.DenseReluDense(forwarded_states)
        return hidden_states + forwarded_states


class T5Block(nn.Module):
    """transformers.models.t5.modeling_t5.T5Block"""

    def __init__(
        self,
        is_decoder,
        has_relative_attention_bias,
        d_model,
        relative_attention_num_buckets,
        layer_norm_epsilon,
        d_ff,
        n_heads,
        key_value_proj_dim,
    ):
        super().__init__()
        if is_decoder:
            self.layer = [
                T5LayerSelfAttention(
                    has_relative_attention_bias=has_relative_attention_bias,
                    d_model=d_model,
                    relative_attention_num_buckets=relative_attention_num_buckets,
                    layer_norm_epsilon=layer_norm_epsilon,
                    n_heads=n_heads,
                    key_value_proj_dim=key_value_proj_dim,
                ),
                T5LayerCrossAttention(
                    d_model=d_model,
                    relative_attention_num_buckets=relative_attention_num_buckets,
                    layer_norm_epsilon=layer_norm_epsilon,
                    n_heads=n_heads,
                    key_value_proj_dim=key_value_proj_dim,
                ),
                T5LayerFF(d_model=d_model, d_ff=d_ff, layer_norm_epsilon=layer_norm_epsilon),
            ]
        else:
            self.layer = [
                T5LayerSelfAttention(
                    has_relative_attention_bias=has_relative_attention_bias,
                    d_model=d_model,
                    relative_attention_num_buckets=relative_attention_num_buckets,
                    layer_norm_epsilon=layer_norm_epsilon,
                    n_heads=n_heads,
                    key_value_proj_dim=key_value_proj_dim,
                ),
                T5LayerFF(d_model=d_model, d_ff=d_ff, layer_norm_epsilon=layer_norm_epsilon),
            ]

    def __call__(
        self,
        hidden_states,
        attention_mask=None,
        position_bias=None,
        encoder_hidden_states=None,
        encoder_decoder_position_bias=None,
    ):
        hidden_states, position_bias = self.layer[0](
            hidden_states, attention_mask=attention_mask, position_bias=position_bias
        )
        if encoder_hidden_states is None:
            hidden_states = self.layer[1](hidden_states)
            return (hidden_states, position_bias, None)
        else:
            hidden_states, encoder_decoder_position_bias = self.layer[1](
                hidden_states, encoder_hidden_states, position_bias=encoder_decoder_position_bias
            )
            hidden_states = self.layer[2](hidden_states)
            return (hidden_states, position_bias, encoder_decoder_position_bias)


class T5Stack(nn.Module):
    """transformers.models.t5.modeling_t5.T5Stack"""

    def __init__(
        self,
        is_decoder,
        vocab_size,
        d_model,
        relative_attention_num_buckets,
        layer_norm_epsilon,
        d_ff,
        n_heads,
        key_value_proj_dim,
    ):
        super().__init__()
        if not is_decoder:
            self.embed_tokens = nn.Embedding(vocab_size, d_model)
        self.block = [
            T5Block(
                is_decoder=is_decoder,
                has_relative_attention_bias=True,
                d_model=d_model,
                relative_attention_num_buckets=relative_attention_num_buckets,
                layer_norm_epsilon=layer_norm_epsilon,
                d_ff=d_ff,
                n_heads=n_heads,
                key_value_proj_dim=key_value_proj_dim,
            ),
            T5Block(
                is_decoder=is_decoder,
                has_relative_attention_bias=False,
                d_model=d_model,
                relative_attention_num_buckets=relative_attention_num_buckets,
                layer_norm_epsilon=layer_norm_epsilon,
                d_ff=d_ff,
                n_heads=n_heads,
                key_value_proj_dim=key_value_proj_dim,
            ),
        ]
        self.final_layer_norm = nn.RMSNorm(d_model, eps=layer_norm_epsilon)

    def __call__(self, input_ids, encoder_hidden_states=None, encoder_embed_tokens_weight=None):
        if encoder_embed_tokens_weight is None:
            inputs_embeds = self.embed_tokens(input_ids)
        else:
            inputs_embeds = encoder_embed_tokens_weight[input_ids]
            batch, length = input_ids.shape
            attention_mask = mx.arange(length, dtype=mx.int64)
            attention_mask = mx.broadcast_to(
                mx.expand_dims(attention_mask, [0, 1, 2]) <= mx.expand_dims(attention_mask, [0, 1, 3]),
                [batch, 1, length, length],
            )
        hidden_states = inputs_embeds
        self_attention_position_bias = None
        if encoder_hidden_states is None:
            for layer in self.block:
                hidden_states, self_attention_position_bias, _ = layer(
                    hidden_states, position_bias=self_attention_position_bias
                )
        else:
            cross_attention_position_bias = None
            for layer in self.block:
                hidden_states, self_attention_position_bias, cross_attention_position_bias = layer(
                    hidden_states,
                    attention_mask=attention_mask,
                    position_bias=self_attention_position_bias,
                    encoder_hidden_states=encoder_hidden_states,
                    encoder_decoder_position_bias=cross_attention_position_bias,
                )
        return self.final_layer_norm(hidden_states)


class T5ForConditionalGeneration(nn.Module):
    """transformers.models.t5.modeling_t5.T5ForConditionalGeneration"""

    def __init__(
        self, vocab_size, d_model, relative_attention_num_buckets, layer_norm_epsilon, d_ff, n_heads, key_value_proj_dim
    ):
        super().__init__()
        self.encoder = T5Stack(
            is_decoder=False,
            vocab_size=vocab_size,
            d_model=d_model,
            relative_attention_num_buckets=relative_attention_num_buckets,
            layer_norm_epsilon=layer_norm_epsilon,
            d_ff=d_ff,
            n_heads=n_heads,
            key_value_proj_dim=key_value_proj_dim,
        )
        self.decoder = T5Stack(
            is_decoder=True,
            vocab_size=vocab_size,
            d_model=d_model,
            relative_attention_num_buckets=relative_attention_num_buckets,
            layer_norm_epsilon=layer_norm_epsilon,
            d_ff=d_ff,
            n_heads=n_heads,
            key_value_proj_dim=key_value_proj_dim,
        )

    def __call__(self, input_ids, decoder_input_ids):
        encoder_outputs = self.encoder(input_ids)
        decoder_outputs = self.decoder(
            decoder_input_ids,
            encoder_hidden_states=encoder_outputs,
            encoder_embed_tokens_weight=self.encoder.embed_tokens.weight,
        )
        sequence_output = decoder_outputs * 0.1767766952966369
        return {
            "logits": self.encoder.embed_tokens.as_linear(sequence_output),
            "encoder_last_hidden_state": encoder_outputs,
        }


def load(folder: str = ".") -> T5ForConditionalGeneration:
    """The model with the weights of a converted folder, ready to be called."""
    weights = {}
    for file in sorted(Path(folder).glob("model*.safetensors")):
        weights.update(mx.load(str(file)))
    config = json.loads((Path(folder) / "config.json").read_text())
    model = T5ForConditionalGeneration(**config["sizes"])
    quantization = config.get("quantization")
    if quantization:
        nn.quantize(
            model,
            quantization["group_size"],
            quantization["bits"],
            class_predicate=lambda path, _: f"{path}.scales" in weights,
        )
    model.load_weights(list(weights.items()))
    model.eval()
    return model
