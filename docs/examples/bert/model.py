"""BertModel in MLX, written by pytorch-to-mlx.

Original: transformers.models.bert.modeling_bert.BertModel
"""

import json
from pathlib import Path

import mlx.core as mx
import mlx.nn as nn


def masked_attention(q, k, v, mask: mx.array, scale: float) -> mx.array:
    """Attend under a boolean mask with mx.fast. A row that attends to nothing gives 0; mx.fast gives the mean of v.

    Shapes: q [B, H, L, D], k [B, G, S, D], v [B, G, S, Dv] -> [B, H, L, Dv]; the mask broadcasts to [B, H, L, S].
    """
    y = mx.fast.scaled_dot_product_attention(q, k, v, scale=scale, mask=mask)
    return mx.where(mx.any(mask, axis=-1, keepdims=True), y, 0)


class BertEmbeddings(nn.Module):
    """transformers.models.bert.modeling_bert.BertEmbeddings"""

    def __init__(
        self, intermediate_size, vocab_size, hidden_size, max_position_embeddings, type_vocab_size, layer_norm_eps
    ):
        super().__init__()
        self.position_ids = mx.zeros([1, intermediate_size], dtype=mx.int64)
        self.token_type_ids = mx.zeros([1, intermediate_size], dtype=mx.int64)
        self.word_embeddings = nn.Embedding(vocab_size, hidden_size)
        self.position_embeddings = nn.Embedding(max_position_embeddings, hidden_size)
        self.token_type_embeddings = nn.Embedding(type_vocab_size, hidden_size)
        self.LayerNorm = nn.LayerNorm(hidden_size, eps=layer_norm_eps)

    def __call__(self, input_ids):
        batch, length = input_ids.shape
        position_ids = self.position_ids[:, :length]
        buffered_token_type_ids = mx.take_along_axis(self.token_type_ids, position_ids, axis=1)
        token_type_ids = mx.broadcast_to(buffered_token_type_ids, [batch, length])
        inputs_embeds = self.word_embeddings(input_ids)
        token_type_embeddings = self.token_type_embeddings(token_type_ids)
        embeddings = inputs_embeds + token_type_embeddings
        position_embeddings = self.position_embeddings(position_ids)
        embeddings = embeddings + position_embeddings
        return self.LayerNorm(embeddings)


class BertSelfAttention(nn.Module):
    """transformers.models.bert.modeling_bert.BertSelfAttention"""

    def __init__(self, all_head_size, attention_head_size, scaling):
        super().__init__()
        self.attention_head_size = attention_head_size
        self.scaling = scaling
        self.query = nn.Linear(all_head_size, all_head_size)
        self.key = nn.Linear(all_head_size, all_head_size)
        self.value = nn.Linear(all_head_size, all_head_size)

    def __call__(self, hidden_states, x):
        query_layer = mx.unflatten(self.query(hidden_states), -1, [-1, self.attention_head_size]).swapaxes(1, 2)
        key_layer = mx.unflatten(self.key(hidden_states), -1, [-1, self.attention_head_size]).swapaxes(1, 2)
        value_layer = mx.unflatten(self.value(hidden_states), -1, [-1, self.attention_head_size]).swapaxes(1, 2)
        attn_output = masked_attention(query_layer, key_layer, value_layer, x, scale=self.scaling).swapaxes(1, 2)
        return mx.flatten(attn_output, -2, -1)


class BertSelfOutput(nn.Module):
    """transformers.models.bert.modeling_bert.BertSelfOutput"""

    def __init__(self, hidden_size, layer_norm_eps):
        super().__init__()
        self.dense = nn.Linear(hidden_size, hidden_size)
        self.LayerNorm = nn.LayerNorm(hidden_size, eps=layer_norm_eps)

    def __call__(self, hidden_states, input_tensor):
        hidden_states = self.dense(hidden_states)
        return self.LayerNorm(hidden_states + input_tensor)


class BertIntermediate(nn.Module):
    """transformers.models.bert.modeling_bert.BertIntermediate"""

    def __init__(self, hidden_size, intermediate_size):
        super().__init__()
        self.dense = nn.Linear(hidden_size, intermediate_size)

    def __call__(self, hidden_states):
        hidden_states = self.dense(hidden_states)
        return nn.gelu(hidden_states)


class BertOutput(nn.Module):
    """transformers.models.bert.modeling_bert.BertOutput"""

    def __init__(self, intermediate_size, hidden_size, layer_norm_eps):
        super().__init__()
        self.dense = nn.Linear(intermediate_size, hidden_size)
        self.LayerNorm = nn.LayerNorm(hidden_size, eps=layer_norm_eps)

    def __call__(self, hidden_states, input_tensor):
        hidden_states = self.dense(hidden_states)
        return self.LayerNorm(hidden_states + input_tensor)


class BertPooler(nn.Module):
    """transformers.models.bert.modeling_bert.BertPooler"""

    def __init__(self, hidden_size):
        super().__init__()
        self.dense = nn.Linear(hidden_size, hidden_size)

    def __call__(self, hidden_states):
        first_token_tensor = hidden_states[:, 0]
        pooled_output = self.dense(first_token_tensor)
        return mx.tanh(pooled_output)


class BertAttention(nn.Module):
    """transformers.models.bert.modeling_bert.BertAttention"""

    def __init__(self, hidden_size, layer_norm_eps, all_head_size, attention_head_size, scaling):
        super().__init__()
        self.self = BertSelfAttention(
            all_head_size=all_head_size, attention_head_size=attention_head_size, scaling=scaling
        )
        self.output = BertSelfOutput(hidden_size=hidden_size, layer_norm_eps=layer_norm_eps)

    def __call__(self, hidden_states, x):
        attention_output = self.self(hidden_states, x)
        return self.output(attention_output, hidden_states)


class BertLayer(nn.Module):
    """transformers.models.bert.modeling_bert.BertLayer"""

    def __init__(self, hidden_size, layer_norm_eps, intermediate_size, all_head_size, attention_head_size, scaling):
        super().__init__()
        self.attention = BertAttention(
            hidden_size=hidden_size,
            layer_norm_eps=layer_norm_eps,
            all_head_size=all_head_size,
            attention_head_size=attention_head_size,
            scaling=scaling,
        )
        self.intermediate = BertIntermediate(hidden_size=hidden_size, intermediate_size=intermediate_size)
        self.output = BertOutput(
            intermediate_size=intermediate_size, hidden_size=hidden_size, layer_norm_eps=layer_norm_eps
        )

    def __call__(self, hidden_states, x):
        self_attention_output = self.attention(hidden_states, x)
        return self.output(self.intermediate(self_attention_output), self_attention_output)


class BertEncoder(nn.Module):
    """transformers.models.bert.modeling_bert.BertEncoder"""

    def __init__(
        self,
        hidden_size,
        layer_norm_eps,
        intermediate_size,
        num_hidden_layers,
        all_head_size,
        attention_head_size,
        scaling,
    ):
        super().__init__()
        self.layer = [
            BertLayer(
                hidden_size=hidden_size,
                layer_norm_eps=layer_norm_eps,
                intermediate_size=intermediate_size,
                all_head_size=all_head_size,
                attention_head_size=attention_head_size,
                scaling=scaling,
            )
            for _ in range(num_hidden_layers)
        ]

    def __call__(self, hidden_states, x):
        for block in self.layer:
            hidden_states = block(hidden_states, x)
        return hidden_states


class BertModel(nn.Module):
    """transformers.models.bert.modeling_bert.BertModel"""

    def __init__(
        self,
        intermediate_size,
        vocab_size,
        hidden_size,
        max_position_embeddings,
        type_vocab_size,
        layer_norm_eps,
        num_hidden_layers,
        all_head_size,
        attention_head_size,
        scaling,
    ):
        super().__init__()
        self.embeddings = BertEmbeddings(
            intermediate_size=intermediate_size,
            vocab_size=vocab_size,
            hidden_size=hidden_size,
            max_position_embeddings=max_position_embeddings,
            type_vocab_size=type_vocab_size,
            layer_norm_eps=layer_norm_eps,
        )
        self.encoder = BertEncoder(
            hidden_size=hidden_size,
            layer_norm_eps=layer_norm_eps,
            intermediate_size=intermediate_size,
            num_hidden_layers=num_hidden_layers,
            all_head_size=all_head_size,
            attention_head_size=attention_head_size,
            scaling=scaling,
        )
        self.pooler = BertPooler(hidden_size=hidden_size)

    def __call__(self, input_ids, attention_mask):
        embedding_output = self.embeddings(input_ids)
        attention_mask = mx.expand_dims(attention_mask.astype(mx.bool_), [1, 2])
        encoder_outputs = self.encoder(embedding_output, attention_mask)
        return {"last_hidden_state": encoder_outputs, "pooler_output": self.pooler(encoder_outputs)}


def load(folder: str = ".") -> BertModel:
    """The model with the weights of a converted folder, ready to be called."""
    weights = {}
    for file in sorted(Path(folder).glob("model*.safetensors")):
        weights.update(mx.load(str(file)))
    config = json.loads((Path(folder) / "config.json").read_text())
    model = BertModel(**config["sizes"])
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
