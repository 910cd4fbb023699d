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

    def __init__(self):
        super().__init__()
        self.position_ids = mx.zeros([1, 64], dtype=mx.int64)
        self.token_type_ids = mx.zeros([1, 64], dtype=mx.int64)
        self.word_embeddings = nn.Embedding(128, 32)
        self.position_embeddings = nn.Embedding(64, 32)
        self.token_type_embeddings = nn.Embedding(2, 32)
        self.LayerNorm = nn.LayerNorm(32, eps=1e-12)

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

    def __init__(self):
        super().__init__()
        self.query = nn.Linear(32, 32)
        self.key = nn.Linear(32, 32)
        self.value = nn.Linear(32, 32)

    def __call__(self, hidden_states, x):
        query_layer = mx.unflatten(self.query(hidden_states), -1, [-1, 8]).swapaxes(1, 2)
        key_layer = mx.unflatten(self.key(hidden_states), -1, [-1, 8]).swapaxes(1, 2)
        value_layer = mx.unflatten(self.value(hidden_states), -1, [-1, 8]).swapaxes(1, 2)
        attn_output = masked_attention(query_layer, key_layer, value_layer, x, 0.3535533905932738).swapaxes(1, 2)
        return mx.flatten(attn_output, -2, -1)


class BertSelfOutput(nn.Module):
    """transformers.models.bert.modeling_bert.BertSelfOutput"""

    def __init__(self):
        super().__init__()
        self.dense = nn.Linear(32, 32)
        self.LayerNorm = nn.LayerNorm(32, eps=1e-12)

    def __call__(self, hidden_states, input_tensor):
        hidden_states = self.dense(hidden_states)
        return self.LayerNorm(hidden_states + input_tensor)


class BertIntermediate(nn.Module):
    """transformers.models.bert.modeling_bert.BertIntermediate"""

    def __init__(self):
        super().__init__()
        self.dense = nn.Linear(32, 64)

    def __call__(self, hidden_states):
        hidden_states = self.dense(hidden_states)
        return nn.gelu(hidden_states)


class BertOutput(nn.Module):
    """transformers.models.bert.modeling_bert.BertOutput"""

    def __init__(self):
        super().__init__()
        self.dense = nn.Linear(64, 32)
        self.LayerNorm = nn.LayerNorm(32, eps=1e-12)

    def __call__(self, hidden_states, input_tensor):
        hidden_states = self.dense(hidden_states)
        return self.LayerNorm(hidden_states + input_tensor)


class BertPooler(nn.Module):
    """transformers.models.bert.modeling_bert.BertPooler"""

    def __init__(self):
        super().__init__()
        self.dense = nn.Linear(32, 32)

    def __call__(self, hidden_states):
        first_token_tensor = hidden_states[:, 0]
        pooled_output = self.dense(first_token_tensor)
        return mx.tanh(pooled_output)


class BertAttention(nn.Module):
    """transformers.models.bert.modeling_bert.BertAttention"""

    def __init__(self):
        super().__init__()
        self.self = BertSelfAttention()
        self.output = BertSelfOutput()

    def __call__(self, hidden_states, x):
        attention_output = self.self(hidden_states, x)
        return self.output(attention_output, hidden_states)


class BertLayer(nn.Module):
    """transformers.models.bert.modeling_bert.BertLayer"""

    def __init__(self):
        super().__init__()
        self.attention = BertAttention()
        self.intermediate = BertIntermediate()
        self.output = BertOutput()

    def __call__(self, hidden_states, x):
        self_attention_output = self.attention(hidden_states, x)
        return self.output(self.intermediate(self_attention_output), self_attention_output)


class BertEncoder(nn.Module):
    """transformers.models.bert.modeling_bert.BertEncoder"""

    def __init__(self):
        super().__init__()
        self.layer = [BertLayer() for _ in range(2)]

    def __call__(self, hidden_states, x):
        for block in self.layer:
            hidden_states = block(hidden_states, x)
        return hidden_states


class BertModel(nn.Module):
    """transformers.models.bert.modeling_bert.BertModel"""

    def __init__(self):
        super().__init__()
        self.embeddings = BertEmbeddings()
        self.encoder = BertEncoder()
        self.pooler = BertPooler()

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
    model = BertModel()
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
