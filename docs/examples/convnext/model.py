"""ConvNextModel in MLX, written by pytorch-to-mlx.

Original: transformers.models.convnext.modeling_convnext.ConvNextModel
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


class ConvNextLayerNorm(nn.Module):
    """transformers.models.convnext.modeling_convnext.ConvNextLayerNorm"""

    def __init__(self, size):
        super().__init__()
        self.weight = mx.zeros([size])
        self.bias = mx.zeros([size])

    def __call__(self, features):
        features = features.transpose(0, 2, 3, 1)
        features = mx.fast.layer_norm(features, self.weight, self.bias, 1e-06)
        return features.transpose(0, 3, 1, 2)


class ConvNextLayer(nn.Module):
    """transformers.models.convnext.modeling_convnext.ConvNextLayer"""

    def __init__(self, dim, out_features):
        super().__init__()
        self.layer_scale_parameter = mx.zeros([dim])
        self.dwconv = nn.Conv2d(dim, dim, 7, padding=3, groups=dim)
        self.layernorm = nn.LayerNorm(dim, eps=1e-06)
        self.pwconv1 = nn.Linear(dim, out_features)
        self.pwconv2 = nn.Linear(out_features, dim)

    def __call__(self, features):
        features_2 = self.dwconv(features.transpose(0, 2, 3, 1))
        features_2 = self.layernorm(features_2)
        features_2 = self.pwconv1(features_2)
        features_2 = nn.gelu(features_2)
        features_2 = self.pwconv2(features_2)
        features_2 = self.layer_scale_parameter * features_2
        return features + features_2.transpose(0, 3, 1, 2)


class ConvNextEmbeddings(nn.Module):
    """transformers.models.convnext.modeling_convnext.ConvNextEmbeddings"""

    def __init__(self):
        super().__init__()
        self.patch_embeddings = nn.Conv2d(3, 8, 4, stride=4)
        self.layernorm = ConvNextLayerNorm(size=8)

    def __call__(self, pixel_values):
        embeddings = self.patch_embeddings(pixel_values.transpose(0, 2, 3, 1))
        return self.layernorm(embeddings.transpose(0, 3, 1, 2))


class ConvNextStage(nn.Module):
    """transformers.models.convnext.modeling_convnext.ConvNextStage"""

    def __init__(self, has_downsampling_layer, dim, out_features, num_layers, size=None):
        super().__init__()
        self.has_downsampling_layer = has_downsampling_layer
        if has_downsampling_layer:
            self.downsampling_layer = [ConvNextLayerNorm(size=size), nn.Conv2d(size, dim, 2, stride=2)]
        self.layers = [ConvNextLayer(dim=dim, out_features=out_features) for _ in range(num_layers)]

    def __call__(self, features):
        if self.has_downsampling_layer:
            features = self.downsampling_layer[0](features)
            features = self.downsampling_layer[1](features.transpose(0, 2, 3, 1))
            features = features.transpose(0, 3, 1, 2)
        for layer in self.layers:
            features = layer(features)
        return features


class ConvNextEncoder(nn.Module):
    """transformers.models.convnext.modeling_convnext.ConvNextEncoder"""

    def __init__(self):
        super().__init__()
        self.stages = [
            ConvNextStage(has_downsampling_layer=False, dim=8, out_features=32, num_layers=1),
            ConvNextStage(has_downsampling_layer=True, dim=16, out_features=64, num_layers=1, size=8),
            ConvNextStage(has_downsampling_layer=True, dim=24, out_features=96, num_layers=2, size=16),
            ConvNextStage(has_downsampling_layer=True, dim=32, out_features=128, num_layers=1, size=24),
        ]

    def __call__(self, hidden_states):
        for stage in self.stages:
            hidden_states = stage(hidden_states)
        return hidden_states


class ConvNextModel(nn.Module):
    """transformers.models.convnext.modeling_convnext.ConvNextModel"""

    def __init__(self):
        super().__init__()
        self.embeddings = ConvNextEmbeddings()
        self.encoder = ConvNextEncoder()
        self.layernorm = nn.LayerNorm(32, eps=1e-12)

    def __call__(self, pixel_values):
        check_shape("pixel_values", pixel_values, (None, 3, None, None))
        embedding_output = self.embeddings(pixel_values)
        encoder_outputs = self.encoder(embedding_output)
        return {
            "last_hidden_state": encoder_outputs,
            "pooler_output": self.layernorm(mx.mean(encoder_outputs, axis=(2, 3))),
        }


def load(folder: str = ".") -> ConvNextModel:
    """The model with the weights of a converted folder, ready to be called."""
    weights = {}
    for file in sorted(Path(folder).glob("model*.safetensors")):
        weights.update(mx.load(str(file)))
    model = ConvNextModel()
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
