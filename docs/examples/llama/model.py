"""LlamaForCausalLM in MLX, written by pytorch-to-mlx.

Original: transformers.models.llama.modeling_llama.LlamaForCausalLM
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


class LlamaAttention(nn.Module):
    """transformers.models.llama.modeling_llama.LlamaAttention"""

    def __init__(self, hidden_size, head_dim, scaling, k_proj_out_features):
        super().__init__()
        self.head_dim = head_dim
        self.scaling = scaling
        self.q_proj = nn.Linear(hidden_size, hidden_size, bias=False)
        self.k_proj = nn.Linear(hidden_size, k_proj_out_features, bias=False)
        self.v_proj = nn.Linear(hidden_size, k_proj_out_features, bias=False)
        self.o_proj = nn.Linear(hidden_size, hidden_size, bias=False)

    def __call__(self, hidden_states, attention_mask, position_embeddings_0, position_embeddings_1):
        query_states = mx.unflatten(self.q_proj(hidden_states), -1, [-1, self.head_dim]).swapaxes(1, 2)
        key_states = mx.unflatten(self.k_proj(hidden_states), -1, [-1, self.head_dim]).swapaxes(1, 2)
        value_states = mx.unflatten(self.v_proj(hidden_states), -1, [-1, self.head_dim]).swapaxes(1, 2)
        x = mx.expand_dims(position_embeddings_0, 1)
        x_2 = mx.expand_dims(position_embeddings_1, 1)
        query_states = (
            query_states * x + mx.concatenate([-query_states[:, :, :, 4:], query_states[:, :, :, :4]], axis=-1) * x_2
        )
        key_states = key_states * x + mx.concatenate([-key_states[:, :, :, 4:], key_states[:, :, :, :4]], axis=-1) * x_2
        attn_output = masked_attention(
            query_states, key_states, value_states, attention_mask, scale=self.scaling
        ).swapaxes(1, 2)
        attn_output = mx.flatten(attn_output, -2, -1)
        return self.o_proj(attn_output)


class LlamaMLP(nn.Module):
    """transformers.models.llama.modeling_llama.LlamaMLP"""

    def __init__(self, hidden_size, intermediate_size):
        super().__init__()
        self.gate_proj = nn.Linear(hidden_size, intermediate_size, bias=False)
        self.up_proj = nn.Linear(hidden_size, intermediate_size, bias=False)
        self.down_proj = nn.Linear(intermediate_size, hidden_size, bias=False)

    def __call__(self, x):
        return self.down_proj(nn.silu(self.gate_proj(x)) * self.up_proj(x))


class LlamaRotaryEmbedding(nn.Module):
    """transformers.models.llama.modeling_llama.LlamaRotaryEmbedding"""

    def __init__(self, dim):
        super().__init__()
        self.inv_freq = mx.zeros([dim])

    def __call__(self, position_ids):
        freqs = mx.expand_dims(position_ids, [0, 2]).astype(mx.float32) * self.inv_freq
        emb = mx.concatenate([freqs, freqs], axis=-1)
        return (mx.cos(emb), mx.sin(emb))


class LlamaDecoderLayer(nn.Module):
    """transformers.models.llama.modeling_llama.LlamaDecoderLayer"""

    def __init__(self, hidden_size, head_dim, intermediate_size, rms_norm_eps, scaling, k_proj_out_features):
        super().__init__()
        self.self_attn = LlamaAttention(
            hidden_size=hidden_size, head_dim=head_dim, scaling=scaling, k_proj_out_features=k_proj_out_features
        )
        self.mlp = LlamaMLP(hidden_size=hidden_size, intermediate_size=intermediate_size)
        self.input_layernorm = nn.RMSNorm(hidden_size, eps=rms_norm_eps)
        self.post_attention_layernorm = nn.RMSNorm(hidden_size, eps=rms_norm_eps)

    def __call__(self, hidden_states, attention_mask, position_embeddings_0, position_embeddings_1):
        input_layernorm_output = self.input_layernorm(hidden_states)
        self_attn_output = self.self_attn(
            input_layernorm_output, attention_mask, position_embeddings_0, position_embeddings_1
        )
        hidden_states = hidden_states + self_attn_output
        post_attention_layernorm_output = self.post_attention_layernorm(hidden_states)
        mlp_output = self.mlp(post_attention_layernorm_output)
        return hidden_states + mlp_output


class LlamaModel(nn.Module):
    """transformers.models.llama.modeling_llama.LlamaModel"""

    def __init__(
        self,
        vocab_size,
        hidden_size,
        head_dim,
        intermediate_size,
        rms_norm_eps,
        num_hidden_layers,
        scaling,
        k_proj_out_features,
        rotary_emb_dim,
    ):
        super().__init__()
        self.embed_tokens = nn.Embedding(vocab_size, hidden_size)
        self.layers = [
            LlamaDecoderLayer(
                hidden_size=hidden_size,
                head_dim=head_dim,
                intermediate_size=intermediate_size,
                rms_norm_eps=rms_norm_eps,
                scaling=scaling,
                k_proj_out_features=k_proj_out_features,
            )
            for _ in range(num_hidden_layers)
        ]
        self.norm = nn.RMSNorm(hidden_size, eps=rms_norm_eps)
        self.rotary_emb = LlamaRotaryEmbedding(dim=rotary_emb_dim)

    def __call__(self, input_ids):
        batch, length = input_ids.shape
        inputs_embeds = self.embed_tokens(input_ids)
        position_ids = mx.arange(length, dtype=mx.int64)
        position_ids_2 = mx.expand_dims(position_ids, 0)
        causal_mask = mx.broadcast_to(position_ids_2, [batch, length])
        x = mx.concatenate([causal_mask[:, :1] - 1, causal_mask], axis=-1)
        causal_mask_2 = mx.cumsum((x[:, 1:] - x[:, :-1] != 1).astype(mx.int64), axis=-1)
        causal_mask = (mx.expand_dims(causal_mask_2, [1, 3]) == mx.expand_dims(causal_mask_2, [1, 2])) & (
            mx.expand_dims(causal_mask, [1, 2]) <= mx.expand_dims(causal_mask, [1, 3])
        )
        position_embeddings, position_embeddings_2 = self.rotary_emb(position_ids)
        hidden_states = inputs_embeds
        for layer in self.layers:
            hidden_states = layer(hidden_states, causal_mask, position_embeddings, position_embeddings_2)
        return self.norm(hidden_states)


class LlamaForCausalLM(nn.Module):
    """transformers.models.llama.modeling_llama.LlamaForCausalLM"""

    def __init__(
        self,
        vocab_size,
        hidden_size,
        head_dim,
        intermediate_size,
        rms_norm_eps,
        num_hidden_layers,
        scaling,
        k_proj_out_features,
        rotary_emb_dim,
    ):
        super().__init__()
        self.model = LlamaModel(
            vocab_size=vocab_size,
            hidden_size=hidden_size,
            head_dim=head_dim,
            intermediate_size=intermediate_size,
            rms_norm_eps=rms_norm_eps,
            num_hidden_layers=num_hidden_layers,
            scaling=scaling,
            k_proj_out_features=k_proj_out_features,
            rotary_emb_dim=rotary_emb_dim,
        )
        self.lm_head = nn.Linear(hidden_size, vocab_size, bias=False)

    def __call__(self, input_ids):
        outputs = self.model(input_ids)
        return {"logits": self.lm_head(outputs)}


def load(folder: str = ".") -> LlamaForCausalLM:
    """The model with the weights of a converted folder, ready to be called."""
    weights = {}
    for file in sorted(Path(folder).glob("model*.safetensors")):
        weights.update(mx.load(str(file)))
    config = json.loads((Path(folder) / "config.json").read_text())
    model = LlamaForCausalLM(**config["sizes"])
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
