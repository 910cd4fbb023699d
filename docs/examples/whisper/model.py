"""WhisperForConditionalGeneration in MLX, written by pytorch-to-mlx.

Original: transformers.models.whisper.modeling_whisper.WhisperForConditionalGeneration
"""

import json
from pathlib import Path

import mlx.core as mx
import mlx.nn as nn


def check_shape(name: str, x, shape: tuple) -> None:
    """Refuse an input whose axes are longer or shorter than those that this source was written for.

    Shapes: x is as long as `shape` on every axis, and of any length where that is None.
    Raises: ValueError, with the axis and both lengths, for any other.
    """
    if x.ndim != len(shape):
        raise ValueError(f"{name} has {x.ndim} axes, but this source is for {len(shape)}")
    for axis, size in enumerate(shape):
        if size is not None and x.shape[axis] != size:
            raise ValueError(
                f"axis {axis} of {name} is {size} only, not {x.shape[axis]}: convert again with an example of that size"
            )


def masked_attention(q, k, v, mask: mx.array, scale: float) -> mx.array:
    """Attend under a boolean mask with mx.fast. A row that attends to nothing gives 0; mx.fast gives the mean of v.

    Shapes: q [B, H, L, D], k [B, G, S, D], v [B, G, S, Dv] -> [B, H, L, Dv]; the mask broadcasts to [B, H, L, S].
    """
    y = mx.fast.scaled_dot_product_attention(q, k, v, scale=scale, mask=mask)
    return mx.where(mx.any(mask, axis=-1, keepdims=True), y, 0)


class WhisperAttention(nn.Module):
    """transformers.models.whisper.modeling_whisper.WhisperAttention"""

    def __init__(self):
        super().__init__()
        self.k_proj = nn.Linear(32, 32, bias=False)
        self.v_proj = nn.Linear(32, 32)
        self.q_proj = nn.Linear(32, 32)
        self.out_proj = nn.Linear(32, 32)

    def __call__(self, hidden_states, key_value_states=None, attention_mask=None):
        if key_value_states is None:
            key_value_states = hidden_states
        query_states = mx.unflatten(self.q_proj(hidden_states) * 0.3535533905932738, -1, [-1, 8]).swapaxes(1, 2)
        batch = hidden_states.shape[0]
        key_states = self.k_proj(key_value_states).reshape([batch, -1, 4, 8]).swapaxes(1, 2)
        value_states = self.v_proj(key_value_states).reshape([batch, -1, 4, 8]).swapaxes(1, 2)
        if attention_mask is None:
            attn_output = mx.fast.scaled_dot_product_attention(
                query_states, key_states, value_states, scale=1.0
            ).swapaxes(1, 2)
        else:
            attn_output = masked_attention(query_states, key_states, value_states, attention_mask, 1.0).swapaxes(1, 2)
        attn_output = mx.flatten(attn_output, -2, -1)
        return self.out_proj(attn_output)


class WhisperPositionalEmbedding(nn.Module):
    """transformers.models.whisper.modeling_whisper.WhisperPositionalEmbedding"""

    def __init__(self):
        super().__init__()
        self.weight = mx.zeros([16, 32])

    def __call__(self, position_ids):
        return self.weight[position_ids]


class WhisperEncoderLayer(nn.Module):
    """transformers.models.whisper.modeling_whisper.WhisperEncoderLayer"""

    def __init__(self):
        super().__init__()
        self.self_attn = WhisperAttention()
        self.self_attn_layer_norm = nn.LayerNorm(32)
        self.fc1 = nn.Linear(32, 64)
        self.fc2 = nn.Linear(64, 32)
        self.final_layer_norm = nn.LayerNorm(32)

    def __call__(self, hidden_states):
        hidden_states_2 = self.self_attn_layer_norm(hidden_states)
        hidden_states_2 = self.self_attn(hidden_states_2)
        hidden_states = hidden_states + hidden_states_2
        hidden_states_2 = self.final_layer_norm(hidden_states)
        hidden_states_2 = nn.gelu(self.fc1(hidden_states_2))
        hidden_states_2 = self.fc2(hidden_states_2)
        return hidden_states + hidden_states_2


class WhisperDecoderLayer(nn.Module):
    """transformers.models.whisper.modeling_whisper.WhisperDecoderLayer"""

    def __init__(self):
        super().__init__()
        self.self_attn = WhisperAttention()
        self.self_attn_layer_norm = nn.LayerNorm(32)
        self.encoder_attn = WhisperAttention()
        self.encoder_attn_layer_norm = nn.LayerNorm(32)
        self.fc1 = nn.Linear(32, 64)
        self.fc2 = nn.Linear(64, 32)
        self.final_layer_norm = nn.LayerNorm(32)

    def __call__(self, hidden_states, attention_mask, encoder_hidden_states):
        hidden_states_2 = self.self_attn_layer_norm(hidden_states)
        hidden_states_2 = self.self_attn(hidden_states_2, attention_mask=attention_mask)
        hidden_states = hidden_states + hidden_states_2
        hidden_states_2 = self.encoder_attn_layer_norm(hidden_states)
        hidden_states_2 = self.encoder_attn(hidden_states_2, key_value_states=encoder_hidden_states)
        hidden_states = hidden_states + hidden_states_2
        hidden_states_2 = self.final_layer_norm(hidden_states)
        hidden_states_2 = nn.gelu(self.fc1(hidden_states_2))
        hidden_states_2 = self.fc2(hidden_states_2)
        return hidden_states + hidden_states_2


class WhisperEncoder(nn.Module):
    """transformers.models.whisper.modeling_whisper.WhisperEncoder"""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv1d(8, 32, 3, padding=1)
        self.conv2 = nn.Conv1d(32, 32, 3, stride=2, padding=1)
        self.embed_positions = nn.Embedding(24, 32)
        self.layers = [WhisperEncoderLayer() for _ in range(2)]
        self.layer_norm = nn.LayerNorm(32)
        self._all_positions = mx.arange(24, dtype=mx.int64)

    def __call__(self, input_features):
        inputs_embeds = nn.gelu(self.conv1(input_features.transpose(0, 2, 1)))
        inputs_embeds = nn.gelu(self.conv2(inputs_embeds))
        hidden_states = inputs_embeds + self.embed_positions(self._all_positions)
        for layer in self.layers:
            hidden_states = layer(hidden_states)
        return self.layer_norm(hidden_states)


class WhisperDecoder(nn.Module):
    """transformers.models.whisper.modeling_whisper.WhisperDecoder"""

    def __init__(self):
        super().__init__()
        self.embed_tokens = nn.Embedding(128, 32)
        self.embed_positions = WhisperPositionalEmbedding()
        self.layers = [WhisperDecoderLayer() for _ in range(2)]
        self.layer_norm = nn.LayerNorm(32)

    def __call__(self, input_ids, encoder_hidden_states):
        batch, length = input_ids.shape
        inputs_embeds = self.embed_tokens(input_ids)
        position_ids = mx.arange(length, dtype=mx.int64)
        position_ids = mx.tile(mx.expand_dims(position_ids, 0), [batch, 1])
        positions = self.embed_positions(position_ids)
        hidden_states = inputs_embeds + positions
        x = mx.concatenate([position_ids[:, :1] - 1, position_ids], axis=-1)
        causal_mask = mx.cumsum((x[:, 1:] - x[:, :-1] != 1).astype(mx.int64), axis=-1)
        causal_mask = (mx.expand_dims(causal_mask, [1, 3]) == mx.expand_dims(causal_mask, [1, 2])) & (
            mx.expand_dims(position_ids, [1, 2]) <= mx.expand_dims(position_ids, [1, 3])
        )
        for layer in self.layers:
            hidden_states = layer(hidden_states, causal_mask, encoder_hidden_states)
        return self.layer_norm(hidden_states)


class WhisperModel(nn.Module):
    """transformers.models.whisper.modeling_whisper.WhisperModel"""

    def __init__(self):
        super().__init__()
        self.encoder = WhisperEncoder()
        self.decoder = WhisperDecoder()

    def __call__(self, input_features, decoder_input_ids):
        encoder_outputs = self.encoder(input_features)
        return (encoder_outputs, self.decoder(decoder_input_ids, encoder_outputs))


class WhisperForConditionalGeneration(nn.Module):
    """transformers.models.whisper.modeling_whisper.WhisperForConditionalGeneration"""

    def __init__(self):
        super().__init__()
        self.model = WhisperModel()

    def __call__(self, input_features, decoder_input_ids):
        check_shape("input_features", input_features, (None, 8, 48))
        outputs, outputs_2 = self.model(input_features, decoder_input_ids)
        return {"logits": self.model.decoder.embed_tokens.as_linear(outputs_2), "encoder_last_hidden_state": outputs}


def load(folder: str = ".") -> WhisperForConditionalGeneration:
    """The model with the weights of a converted folder, ready to be called."""
    weights = {}
    for file in sorted(Path(folder).glob("model*.safetensors")):
        weights.update(mx.load(str(file)))
    model = WhisperForConditionalGeneration()
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
