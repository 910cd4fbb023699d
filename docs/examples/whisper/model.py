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

    def __init__(self, embed_dim, scaling, head_dim, num_heads):
        super().__init__()
        self.scaling = scaling
        self.head_dim = head_dim
        self.num_heads = num_heads
        self.k_proj = nn.Linear(embed_dim, embed_dim, bias=False)
        self.v_proj = nn.Linear(embed_dim, embed_dim)
        self.q_proj = nn.Linear(embed_dim, embed_dim)
        self.out_proj = nn.Linear(embed_dim, embed_dim)

    def __call__(self, hidden_states, key_value_states=None, attention_mask=None):
        if key_value_states is None:
            key_value_states = hidden_states
        query_states = mx.unflatten(self.q_proj(hidden_states) * self.scaling, -1, [-1, self.head_dim]).swapaxes(1, 2)
        batch = hidden_states.shape[0]
        key_states = self.k_proj(key_value_states).reshape([batch, -1, self.num_heads, self.head_dim]).swapaxes(1, 2)
        value_states = self.v_proj(key_value_states).reshape([batch, -1, self.num_heads, self.head_dim]).swapaxes(1, 2)
        if attention_mask is None:
            attn_output = mx.fast.scaled_dot_product_attention(
                query_states, key_states, value_states, scale=1.0
            ).swapaxes(1, 2)
        else:
            attn_output = masked_attention(query_states, key_states, value_states, attention_mask, scale=1.0).swapaxes(
                1, 2
            )
        attn_output = mx.flatten(attn_output, -2, -1)
        return self.out_proj(attn_output)


class WhisperPositionalEmbedding(nn.Module):
    """transformers.models.whisper.modeling_whisper.WhisperPositionalEmbedding"""

    def __init__(self, num_embeddings, embedding_dim):
        super().__init__()
        self.weight = mx.zeros([num_embeddings, embedding_dim])

    def __call__(self, position_ids):
        return self.weight[position_ids]


class WhisperEncoderLayer(nn.Module):
    """transformers.models.whisper.modeling_whisper.WhisperEncoderLayer"""

    def __init__(self, embed_dim, encoder_ffn_dim, scaling, head_dim, num_heads):
        super().__init__()
        self.self_attn = WhisperAttention(embed_dim=embed_dim, scaling=scaling, head_dim=head_dim, num_heads=num_heads)
        self.self_attn_layer_norm = nn.LayerNorm(embed_dim)
        self.fc1 = nn.Linear(embed_dim, encoder_ffn_dim)
        self.fc2 = nn.Linear(encoder_ffn_dim, embed_dim)
        self.final_layer_norm = nn.LayerNorm(embed_dim)

    def __call__(self, hidden_states):
        self_attn_layer_norm_output = self.self_attn_layer_norm(hidden_states)
        self_attn_output = self.self_attn(self_attn_layer_norm_output)
        hidden_states = hidden_states + self_attn_output
        final_layer_norm_output = self.final_layer_norm(hidden_states)
        fc1_output = nn.gelu(self.fc1(final_layer_norm_output))
        fc2_output = self.fc2(fc1_output)
        return hidden_states + fc2_output


class WhisperDecoderLayer(nn.Module):
    """transformers.models.whisper.modeling_whisper.WhisperDecoderLayer"""

    def __init__(self, embed_dim, decoder_ffn_dim, scaling, head_dim, num_heads):
        super().__init__()
        self.self_attn = WhisperAttention(embed_dim=embed_dim, scaling=scaling, head_dim=head_dim, num_heads=num_heads)
        self.self_attn_layer_norm = nn.LayerNorm(embed_dim)
        self.encoder_attn = WhisperAttention(
            embed_dim=embed_dim, scaling=scaling, head_dim=head_dim, num_heads=num_heads
        )
        self.encoder_attn_layer_norm = nn.LayerNorm(embed_dim)
        self.fc1 = nn.Linear(embed_dim, decoder_ffn_dim)
        self.fc2 = nn.Linear(decoder_ffn_dim, embed_dim)
        self.final_layer_norm = nn.LayerNorm(embed_dim)

    def __call__(self, hidden_states, attention_mask, encoder_hidden_states):
        self_attn_layer_norm_output = self.self_attn_layer_norm(hidden_states)
        self_attn_output = self.self_attn(self_attn_layer_norm_output, attention_mask=attention_mask)
        hidden_states = hidden_states + self_attn_output
        encoder_attn_layer_norm_output = self.encoder_attn_layer_norm(hidden_states)
        encoder_attn_output = self.encoder_attn(encoder_attn_layer_norm_output, key_value_states=encoder_hidden_states)
        hidden_states = hidden_states + encoder_attn_output
        final_layer_norm_output = self.final_layer_norm(hidden_states)
        fc1_output = nn.gelu(self.fc1(final_layer_norm_output))
        fc2_output = self.fc2(fc1_output)
        return hidden_states + fc2_output


class WhisperEncoder(nn.Module):
    """transformers.models.whisper.modeling_whisper.WhisperEncoder"""

    def __init__(
        self,
        num_mel_bins,
        d_model,
        max_source_positions,
        encoder_ffn_dim,
        encoder_layers,
        kernel_size,
        padding,
        stride,
        embed_dim,
        scaling,
        num_heads,
    ):
        super().__init__()
        self.conv1 = nn.Conv1d(num_mel_bins, d_model, kernel_size, padding=padding)
        self.conv2 = nn.Conv1d(d_model, d_model, kernel_size, stride=stride, padding=padding)
        self.embed_positions = nn.Embedding(max_source_positions, d_model)
        self.layers = [
            WhisperEncoderLayer(
                embed_dim=embed_dim,
                encoder_ffn_dim=encoder_ffn_dim,
                scaling=scaling,
                head_dim=num_mel_bins,
                num_heads=num_heads,
            )
            for _ in range(encoder_layers)
        ]
        self.layer_norm = nn.LayerNorm(d_model)
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

    def __init__(
        self,
        vocab_size,
        d_model,
        max_target_positions,
        decoder_ffn_dim,
        decoder_layers,
        embed_dim,
        scaling,
        head_dim,
        num_heads,
    ):
        super().__init__()
        self.embed_tokens = nn.Embedding(vocab_size, d_model)
        self.embed_positions = WhisperPositionalEmbedding(num_embeddings=max_target_positions, embedding_dim=d_model)
        self.layers = [
            WhisperDecoderLayer(
                embed_dim=embed_dim,
                decoder_ffn_dim=decoder_ffn_dim,
                scaling=scaling,
                head_dim=head_dim,
                num_heads=num_heads,
            )
            for _ in range(decoder_layers)
        ]
        self.layer_norm = nn.LayerNorm(d_model)

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

    def __init__(
        self,
        num_mel_bins,
        d_model,
        max_source_positions,
        encoder_ffn_dim,
        encoder_layers,
        vocab_size,
        max_target_positions,
        decoder_ffn_dim,
        decoder_layers,
        embed_dim,
        scaling,
        num_heads,
        kernel_size,
        padding,
        stride,
        head_dim,
    ):
        super().__init__()
        self.encoder = WhisperEncoder(
            num_mel_bins=num_mel_bins,
            d_model=d_model,
            max_source_positions=max_source_positions,
            encoder_ffn_dim=encoder_ffn_dim,
            encoder_layers=encoder_layers,
            kernel_size=kernel_size,
            padding=padding,
            stride=stride,
            embed_dim=embed_dim,
            scaling=scaling,
            num_heads=num_heads,
        )
        self.decoder = WhisperDecoder(
            vocab_size=vocab_size,
            d_model=d_model,
            max_target_positions=max_target_positions,
            decoder_ffn_dim=decoder_ffn_dim,
            decoder_layers=decoder_layers,
            embed_dim=embed_dim,
            scaling=scaling,
            head_dim=head_dim,
            num_heads=num_heads,
        )

    def __call__(self, input_features, decoder_input_ids):
        encoder_outputs = self.encoder(input_features)
        return (encoder_outputs, self.decoder(decoder_input_ids, encoder_outputs))


class WhisperForConditionalGeneration(nn.Module):
    """transformers.models.whisper.modeling_whisper.WhisperForConditionalGeneration"""

    def __init__(
        self,
        num_mel_bins,
        d_model,
        max_source_positions,
        encoder_ffn_dim,
        encoder_layers,
        vocab_size,
        max_target_positions,
        decoder_ffn_dim,
        decoder_layers,
        embed_dim,
        scaling,
        num_heads,
        kernel_size,
        padding,
        stride,
        head_dim,
    ):
        super().__init__()
        self.model = WhisperModel(
            num_mel_bins=num_mel_bins,
            d_model=d_model,
            max_source_positions=max_source_positions,
            encoder_ffn_dim=encoder_ffn_dim,
            encoder_layers=encoder_layers,
            vocab_size=vocab_size,
            max_target_positions=max_target_positions,
            decoder_ffn_dim=decoder_ffn_dim,
            decoder_layers=decoder_layers,
            embed_dim=embed_dim,
            scaling=scaling,
            num_heads=num_heads,
            kernel_size=kernel_size,
            padding=padding,
            stride=stride,
            head_dim=head_dim,
        )

    def __call__(self, input_features, decoder_input_ids):
        check_shape("input_features", input_features, (None, 8, 48))
        outputs, outputs_2 = self.model(input_features, decoder_input_ids)
        return {"logits": self.model.decoder.embed_tokens.as_linear(outputs_2), "encoder_last_hidden_state": outputs}


def load(folder: str = ".") -> WhisperForConditionalGeneration:
    """The model with the weights of a converted folder, ready to be called."""
    weights = {}
    for file in sorted(Path(folder).glob("model*.safetensors")):
        weights.update(mx.load(str(file)))
    config = json.loads((Path(folder) / "config.json").read_text())
    model = WhisperForConditionalGeneration(**config["sizes"])
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
