"""T5ForConditionalGeneration in MLX, written by pytorch-to-mlx.

Original: transformers.models.t5.modeling_t5.T5ForConditionalGeneration
"""

import json
from pathlib import Path

import mlx.core as mx
import mlx.nn as nn


class T5Attention(nn.Module):
    """transformers.models.t5.modeling_t5.T5Attention"""

    def __init__(self):
        super().__init__()
        self.q = nn.Linear(32, 32, bias=False)
        self.k = nn.Linear(32, 32, bias=False)
        self.v = nn.Linear(32, 32, bias=False)
        self.o = nn.Linear(32, 32, bias=False)
        self.relative_attention_bias = nn.Embedding(32, 4)

    def __call__(self, hidden_states):
        length = hidden_states.shape[1]
        query_states = mx.unflatten(self.q(hidden_states), -1, [-1, 8]).swapaxes(1, 2)
        key_states = mx.unflatten(self.k(hidden_states), -1, [-1, 8]).swapaxes(1, 2)
        value_states = mx.unflatten(self.v(hidden_states), -1, [-1, 8]).swapaxes(1, 2)
        position_bias = mx.arange(length, dtype=mx.int64)
        position_bias = mx.expand_dims(position_bias, 0) - mx.expand_dims(position_bias, 1)
        position_bias_2 = mx.abs(position_bias)
        position_bias_3 = (mx.log(position_bias_2.astype(mx.float32) / 8) / 2.772588722239781 * 8).astype(mx.int64)
        position_bias_3 = position_bias_3 + 8
        position_bias_2 = mx.where(
            position_bias_2 < 8,
            position_bias_2,
            mx.minimum(position_bias_3, mx.full([length, length], 15, dtype=mx.int64)),
        )
        position_bias = self.relative_attention_bias(
            (position_bias > 0).astype(mx.int64) * 16 + position_bias_2
        ).transpose(2, 0, 1)
        position_bias = mx.expand_dims(position_bias, 0)
        attn_output = mx.fast.scaled_dot_product_attention(
            query_states, key_states, value_states, scale=1.0, mask=position_bias
        ).swapaxes(1, 2)
        attn_output = mx.flatten(attn_output, -2, -1)
        return (position_bias, self.o(attn_output))


class T5DenseActDense(nn.Module):
    """transformers.models.t5.modeling_t5.T5DenseActDense"""

    def __init__(self):
        super().__init__()
        self.wi = nn.Linear(32, 64, bias=False)
        self.wo = nn.Linear(64, 32, bias=False)

    def __call__(self, hidden_states):
        hidden_states = self.wi(hidden_states)
        hidden_states = nn.relu(hidden_states)
        return self.wo(hidden_states)


class T5Attention2(nn.Module):
    """transformers.models.t5.modeling_t5.T5Attention"""

    def __init__(self):
        super().__init__()
        self.q = nn.Linear(32, 32, bias=False)
        self.k = nn.Linear(32, 32, bias=False)
        self.v = nn.Linear(32, 32, bias=False)
        self.o = nn.Linear(32, 32, bias=False)

    def __call__(self, hidden_states, position_bias):
        query_states = mx.unflatten(self.q(hidden_states), -1, [-1, 8]).swapaxes(1, 2)
        key_states = mx.unflatten(self.k(hidden_states), -1, [-1, 8]).swapaxes(1, 2)
        value_states = mx.unflatten(self.v(hidden_states), -1, [-1, 8]).swapaxes(1, 2)
        attn_output = mx.fast.scaled_dot_product_attention(
            query_states, key_states, value_states, scale=1.0, mask=position_bias
        ).swapaxes(1, 2)
        attn_output = mx.flatten(attn_output, -2, -1)
        return self.o(attn_output)


class T5Attention3(nn.Module):
    """transformers.models.t5.modeling_t5.T5Attention"""

    def __init__(self):
        super().__init__()
        self.q = nn.Linear(32, 32, bias=False)
        self.k = nn.Linear(32, 32, bias=False)
        self.v = nn.Linear(32, 32, bias=False)
        self.o = nn.Linear(32, 32, bias=False)
        self.relative_attention_bias = nn.Embedding(32, 4)

    def __call__(self, hidden_states, mask):
        length = hidden_states.shape[1]
        query_states = mx.unflatten(self.q(hidden_states), -1, [-1, 8]).swapaxes(1, 2)
        key_states = mx.unflatten(self.k(hidden_states), -1, [-1, 8]).swapaxes(1, 2)
        value_states = mx.unflatten(self.v(hidden_states), -1, [-1, 8]).swapaxes(1, 2)
        position_bias = mx.arange(length, dtype=mx.int64)
        position_bias = mx.expand_dims(position_bias, 0) - mx.expand_dims(position_bias, 1)
        position_bias = -mx.minimum(position_bias, mx.zeros_like(position_bias))
        position_bias_2 = (mx.log(position_bias.astype(mx.float32) / 16) / 2.0794415416798357 * 16).astype(mx.int64)
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
        return (position_bias, self.o(attn_output))


class T5Attention4(nn.Module):
    """transformers.models.t5.modeling_t5.T5Attention"""

    def __init__(self):
        super().__init__()
        self.q = nn.Linear(32, 32, bias=False)
        self.k = nn.Linear(32, 32, bias=False)
        self.v = nn.Linear(32, 32, bias=False)
        self.o = nn.Linear(32, 32, bias=False)

    def __call__(self, hidden_states, key_value_states):
        length = hidden_states.shape[1]
        length_2 = key_value_states.shape[1]
        query_states = mx.unflatten(self.q(hidden_states), -1, [-1, 8]).swapaxes(1, 2)
        key_states = mx.unflatten(self.k(key_value_states), -1, [-1, 8]).swapaxes(1, 2)
        value_states = mx.unflatten(self.v(key_value_states), -1, [-1, 8]).swapaxes(1, 2)
        position_bias = mx.zeros([1, 4, length, length_2], dtype=mx.float32)
        attn_output = mx.fast.scaled_dot_product_attention(
            query_states, key_states, value_states, scale=1.0, mask=position_bias
        ).swapaxes(1, 2)
        attn_output = mx.flatten(attn_output, -2, -1)
        return (position_bias, self.o(attn_output))


class T5Attention5(nn.Module):
    """transformers.models.t5.modeling_t5.T5Attention"""

    def __init__(self):
        super().__init__()
        self.q = nn.Linear(32, 32, bias=False)
        self.k = nn.Linear(32, 32, bias=False)
        self.v = nn.Linear(32, 32, bias=False)
        self.o = nn.Linear(32, 32, bias=False)

    def __call__(self, hidden_states, mask, position_bias):
        query_states = mx.unflatten(self.q(hidden_states), -1, [-1, 8]).swapaxes(1, 2)
        key_states = mx.unflatten(self.k(hidden_states), -1, [-1, 8]).swapaxes(1, 2)
        value_states = mx.unflatten(self.v(hidden_states), -1, [-1, 8]).swapaxes(1, 2)
        x = mx.fast.scaled_dot_product_attention(
            query_states,
            key_states,
            value_states,
            scale=1.0,
            mask=mx.where(mask, position_bias, -3.4028234663852886e38),
        )
        attn_output = x.swapaxes(1, 2)
        attn_output = mx.flatten(attn_output, -2, -1)
        return self.o(attn_output)


class T5Attention6(nn.Module):
    """transformers.models.t5.modeling_t5.T5Attention"""

    def __init__(self):
        super().__init__()
        self.q = nn.Linear(32, 32, bias=False)
        self.k = nn.Linear(32, 32, bias=False)
        self.v = nn.Linear(32, 32, bias=False)
        self.o = nn.Linear(32, 32, bias=False)

    def __call__(self, hidden_states, key_value_states, position_bias):
        query_states = mx.unflatten(self.q(hidden_states), -1, [-1, 8]).swapaxes(1, 2)
        key_states = mx.unflatten(self.k(key_value_states), -1, [-1, 8]).swapaxes(1, 2)
        value_states = mx.unflatten(self.v(key_value_states), -1, [-1, 8]).swapaxes(1, 2)
        attn_output = mx.fast.scaled_dot_product_attention(
            query_states, key_states, value_states, scale=1.0, mask=position_bias
        ).swapaxes(1, 2)
        attn_output = mx.flatten(attn_output, -2, -1)
        return self.o(attn_output)


class T5LayerSelfAttention(nn.Module):
    """transformers.models.t5.modeling_t5.T5LayerSelfAttention"""

    def __init__(self):
        super().__init__()
        self.SelfAttention = T5Attention()
        self.layer_norm = nn.RMSNorm(32, eps=1e-06)

    def __call__(self, hidden_states):
        normed_hidden_states = self.layer_norm(hidden_states)
        x, y = self.SelfAttention(normed_hidden_states)
        return (x, hidden_states + y)


class T5LayerFF(nn.Module):
    """transformers.models.t5.modeling_t5.T5LayerFF"""

    def __init__(self):
        super().__init__()
        self.DenseReluDense = T5DenseActDense()
        self.layer_norm = nn.RMSNorm(32, eps=1e-06)

    def __call__(self, hidden_states):
        forwarded_states = self.layer_norm(hidden_states)
        forwarded_states = self.DenseReluDense(forwarded_states)
        return hidden_states + forwarded_states


class T5LayerSelfAttention2(nn.Module):
    """transformers.models.t5.modeling_t5.T5LayerSelfAttention"""

    def __init__(self):
        super().__init__()
        self.SelfAttention = T5Attention2()
        self.layer_norm = nn.RMSNorm(32, eps=1e-06)

    def __call__(self, hidden_states, position_bias):
        normed_hidden_states = self.layer_norm(hidden_states)
        attention_output = self.SelfAttention(normed_hidden_states, position_bias)
        return hidden_states + attention_output


class T5LayerSelfAttention3(nn.Module):
    """transformers.models.t5.modeling_t5.T5LayerSelfAttention"""

    def __init__(self):
        super().__init__()
        self.SelfAttention = T5Attention3()
        self.layer_norm = nn.RMSNorm(32, eps=1e-06)

    def __call__(self, hidden_states, attention_mask):
        normed_hidden_states = self.layer_norm(hidden_states)
        x, y = self.SelfAttention(normed_hidden_states, attention_mask)
        return (x, hidden_states + y)


class T5LayerCrossAttention(nn.Module):
    """transformers.models.t5.modeling_t5.T5LayerCrossAttention"""

    def __init__(self):
        super().__init__()
        self.EncDecAttention = T5Attention4()
        self.layer_norm = nn.RMSNorm(32, eps=1e-06)

    def __call__(self, hidden_states, key_value_states):
        normed_hidden_states = self.layer_norm(hidden_states)
        zeros, y = self.EncDecAttention(normed_hidden_states, key_value_states)
        return (zeros, hidden_states + y)


class T5LayerSelfAttention4(nn.Module):
    """transformers.models.t5.modeling_t5.T5LayerSelfAttention"""

    def __init__(self):
        super().__init__()
        self.SelfAttention = T5Attention5()
        self.layer_norm = nn.RMSNorm(32, eps=1e-06)

    def __call__(self, hidden_states, attention_mask, position_bias):
        normed_hidden_states = self.layer_norm(hidden_states)
        attention_output = self.SelfAttention(normed_hidden_states, attention_mask, position_bias)
        return hidden_states + attention_output


class T5LayerCrossAttention2(nn.Module):
    """transformers.models.t5.modeling_t5.T5LayerCrossAttention"""

    def __init__(self):
        super().__init__()
        self.EncDecAttention = T5Attention6()
        self.layer_norm = nn.RMSNorm(32, eps=1e-06)

    def __call__(self, hidden_states, key_value_states, position_bias):
        normed_hidden_states = self.layer_norm(hidden_states)
        attention_output = self.EncDecAttention(normed_hidden_states, key_value_states, position_bias)
        return hidden_states + attention_output


class T5Block(nn.Module):
    """transformers.models.t5.modeling_t5.T5Block"""

    def __init__(self):
        super().__init__()
        self.layer = [T5LayerSelfAttention(), T5LayerFF()]

    def __call__(self, hidden_states):
        x, x_2 = self.layer[0](hidden_states)
        hidden_states = self.layer[1](x_2)
        return (x, hidden_states)


class T5Block2(nn.Module):
    """transformers.models.t5.modeling_t5.T5Block"""

    def __init__(self):
        super().__init__()
        self.layer = [T5LayerSelfAttention2(), T5LayerFF()]

    def __call__(self, hidden_states, position_bias):
        hidden_states = self.layer[0](hidden_states, position_bias)
        hidden_states = self.layer[1](hidden_states)
        return hidden_states


class T5Block3(nn.Module):
    """transformers.models.t5.modeling_t5.T5Block"""

    def __init__(self):
        super().__init__()
        self.layer = [T5LayerSelfAttention3(), T5LayerCrossAttention(), T5LayerFF()]

    def __call__(self, hidden_states, attention_mask, encoder_hidden_states):
        x, x_2 = self.layer[0](hidden_states, attention_mask)
        zeros, x_2 = self.layer[1](x_2, encoder_hidden_states)
        hidden_states = self.layer[2](x_2)
        return (x, zeros, hidden_states)


class T5Block4(nn.Module):
    """transformers.models.t5.modeling_t5.T5Block"""

    def __init__(self):
        super().__init__()
        self.layer = [T5LayerSelfAttention4(), T5LayerCrossAttention2(), T5LayerFF()]

    def __call__(
        self, hidden_states, attention_mask, position_bias, encoder_hidden_states, encoder_decoder_position_bias
    ):
        hidden_states = self.layer[0](hidden_states, attention_mask, position_bias)
        hidden_states = self.layer[1](hidden_states, encoder_hidden_states, encoder_decoder_position_bias)
        hidden_states = self.layer[2](hidden_states)
        return hidden_states


class T5Stack(nn.Module):
    """transformers.models.t5.modeling_t5.T5Stack"""

    def __init__(self):
        super().__init__()
        self.embed_tokens = nn.Embedding(128, 32)
        self.block = [T5Block(), T5Block2()]
        self.final_layer_norm = nn.RMSNorm(32, eps=1e-06)

    def __call__(self, input_ids):
        inputs_embeds = self.embed_tokens(input_ids)
        x, x_2 = self.block[0](inputs_embeds)
        hidden_states = self.block[1](x_2, x)
        return self.final_layer_norm(hidden_states)


class T5Stack2(nn.Module):
    """transformers.models.t5.modeling_t5.T5Stack"""

    def __init__(self):
        super().__init__()
        self.block = [T5Block3(), T5Block4()]
        self.final_layer_norm = nn.RMSNorm(32, eps=1e-06)

    def __call__(self, input_ids, encoder_hidden_states, encoder_embed_tokens_weight):
        batch, length = input_ids.shape
        inputs_embeds = encoder_embed_tokens_weight[input_ids]
        attention_mask = mx.arange(length, dtype=mx.int64)
        attention_mask = mx.broadcast_to(
            mx.expand_dims(attention_mask, [0, 1, 2]) <= mx.expand_dims(attention_mask, [0, 1, 3]),
            [batch, 1, length, length],
        )
        x, zeros, x_2 = self.block[0](inputs_embeds, attention_mask, encoder_hidden_states)
        hidden_states = self.block[1](x_2, attention_mask, x, encoder_hidden_states, zeros)
        return self.final_layer_norm(hidden_states)


class T5ForConditionalGeneration(nn.Module):
    """transformers.models.t5.modeling_t5.T5ForConditionalGeneration"""

    def __init__(self):
        super().__init__()
        self.encoder = T5Stack()
        self.decoder = T5Stack2()

    def __call__(self, input_ids, decoder_input_ids):
        encoder_outputs = self.encoder(input_ids)
        decoder_outputs = self.decoder(decoder_input_ids, encoder_outputs, self.encoder.embed_tokens.weight)
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
    model = T5ForConditionalGeneration()
    quantization = json.loads((Path(folder) / "config.json").read_text()).get("quantization")
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
