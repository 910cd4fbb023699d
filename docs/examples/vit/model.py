"""ViTModel in MLX, written by pytorch-to-mlx.

Original: transformers.models.vit.modeling_vit.ViTModel
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


class ViTPatchEmbeddings(nn.Module):
    """transformers.models.vit.modeling_vit.ViTPatchEmbeddings"""

    def __init__(self, num_channels, hidden_size, patch_size):
        super().__init__()
        self.projection = nn.Conv2d(num_channels, hidden_size, patch_size, stride=patch_size)

    def __call__(self, pixel_values):
        x = mx.flatten(self.projection(pixel_values.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2), -2, -1)
        return x.swapaxes(1, 2)


class ViTAttention(nn.Module):
    """transformers.models.vit.modeling_vit.ViTAttention"""

    def __init__(self, hidden_size, head_dim, scaling):
        super().__init__()
        self.head_dim = head_dim
        self.scaling = scaling
        self.q_proj = nn.Linear(hidden_size, hidden_size)
        self.k_proj = nn.Linear(hidden_size, hidden_size)
        self.v_proj = nn.Linear(hidden_size, hidden_size)
        self.o_proj = nn.Linear(hidden_size, hidden_size)

    def __call__(self, hidden_states):
        query_states = mx.unflatten(self.q_proj(hidden_states), -1, [-1, self.head_dim]).swapaxes(1, 2)
        key_states = mx.unflatten(self.k_proj(hidden_states), -1, [-1, self.head_dim]).swapaxes(1, 2)
        value_states = mx.unflatten(self.v_proj(hidden_states), -1, [-1, self.head_dim]).swapaxes(1, 2)
        x = mx.fast.scaled_dot_product_attention(query_states, key_states, value_states, scale=self.scaling)
        attn_output = x.swapaxes(1, 2)
        attn_output = mx.flatten(attn_output, -2, -1)
        return self.o_proj(attn_output)


class ViTMLP(nn.Module):
    """transformers.models.vit.modeling_vit.ViTMLP"""

    def __init__(self, hidden_size, intermediate_size):
        super().__init__()
        self.fc1 = nn.Linear(hidden_size, intermediate_size)
        self.fc2 = nn.Linear(intermediate_size, hidden_size)

    def __call__(self, hidden_states):
        hidden_states = self.fc1(hidden_states)
        hidden_states = nn.gelu(hidden_states)
        return self.fc2(hidden_states)


class ViTPooler(nn.Module):
    """transformers.models.vit.modeling_vit.ViTPooler"""

    def __init__(self, hidden_size):
        super().__init__()
        self.dense = nn.Linear(hidden_size, hidden_size)

    def __call__(self, hidden_states):
        first_token_tensor = hidden_states[:, 0]
        pooled_output = self.dense(first_token_tensor)
        return mx.tanh(pooled_output)


class ViTEmbeddings(nn.Module):
    """transformers.models.vit.modeling_vit.ViTEmbeddings"""

    def __init__(self, hidden_size, num_channels, patch_size, position_embeddings_size):
        super().__init__()
        self.cls_token = mx.zeros([1, 1, hidden_size])
        self.position_embeddings = mx.zeros([1, position_embeddings_size, hidden_size])
        self.patch_embeddings = ViTPatchEmbeddings(
            num_channels=num_channels, hidden_size=hidden_size, patch_size=patch_size
        )

    def __call__(self, pixel_values):
        batch = pixel_values.shape[0]
        embeddings = self.patch_embeddings(pixel_values)
        cls_tokens = mx.broadcast_to(self.cls_token, [batch, 1, 32])
        embeddings = mx.concatenate([cls_tokens, embeddings], axis=1)
        return embeddings + self.position_embeddings


class ViTLayer(nn.Module):
    """transformers.models.vit.modeling_vit.ViTLayer"""

    def __init__(self, hidden_size, layer_norm_eps, intermediate_size, head_dim, scaling):
        super().__init__()
        self.attention = ViTAttention(hidden_size=hidden_size, head_dim=head_dim, scaling=scaling)
        self.layernorm_before = nn.LayerNorm(hidden_size, eps=layer_norm_eps)
        self.layernorm_after = nn.LayerNorm(hidden_size, eps=layer_norm_eps)
        self.mlp = ViTMLP(hidden_size=hidden_size, intermediate_size=intermediate_size)

    def __call__(self, hidden_states):
        layernorm_before_output = self.layernorm_before(hidden_states)
        attention_output = self.attention(layernorm_before_output)
        hidden_states = attention_output + hidden_states
        layernorm_after_output = self.layernorm_after(hidden_states)
        mlp_output = self.mlp(layernorm_after_output)
        return mlp_output + hidden_states


class ViTModel(nn.Module):
    """transformers.models.vit.modeling_vit.ViTModel"""

    def __init__(
        self,
        hidden_size,
        num_channels,
        patch_size,
        layer_norm_eps,
        intermediate_size,
        num_hidden_layers,
        position_embeddings_size,
        head_dim,
        scaling,
    ):
        super().__init__()
        self.embeddings = ViTEmbeddings(
            hidden_size=hidden_size,
            num_channels=num_channels,
            patch_size=patch_size,
            position_embeddings_size=position_embeddings_size,
        )
        self.layers = [
            ViTLayer(
                hidden_size=hidden_size,
                layer_norm_eps=layer_norm_eps,
                intermediate_size=intermediate_size,
                head_dim=head_dim,
                scaling=scaling,
            )
            for _ in range(num_hidden_layers)
        ]
        self.layernorm = nn.LayerNorm(hidden_size, eps=layer_norm_eps)
        self.pooler = ViTPooler(hidden_size=hidden_size)

    def __call__(self, pixel_values):
        check_shape("pixel_values", pixel_values, (None, 3, 32, 32))
        embedding_output = self.embeddings(pixel_values)
        hidden_states = embedding_output
        for layer in self.layers:
            hidden_states = layer(hidden_states)
        sequence_output = self.layernorm(hidden_states)
        return {"last_hidden_state": sequence_output, "pooler_output": self.pooler(sequence_output)}


def load(folder: str = ".") -> ViTModel:
    """The model with the weights of a converted folder, ready to be called."""
    weights = {}
    for file in sorted(Path(folder).glob("model*.safetensors")):
        weights.update(mx.load(str(file)))
    config = json.loads((Path(folder) / "config.json").read_text())
    model = ViTModel(**config["sizes"])
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
