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

    def __init__(self, value):
        super().__init__()
        self.weight = mx.zeros([value])
        self.bias = mx.zeros([value])

    def __call__(self, features):
        features = features.transpose(0, 2, 3, 1)
        features = mx.fast.layer_norm(features, self.weight, self.bias, 1e-06)
        return features.transpose(0, 3, 1, 2)


class ConvNextLayer(nn.Module):
    """transformers.models.convnext.modeling_convnext.ConvNextLayer"""

    def __init__(self, dim, dim_2):
        super().__init__()
        self.layer_scale_parameter = mx.zeros([dim])
        self.dwconv = nn.Conv2d(dim, dim, 7, padding=3, groups=dim)
        self.layernorm = nn.LayerNorm(dim, eps=1e-06)
        self.pwconv1 = nn.Linear(dim, dim_2)
        self.pwconv2 = nn.Linear(dim_2, dim)

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
        self.layernorm = ConvNextLayerNorm(value=8)

    def __call__(self, pixel_values):
        embeddings = self.patch_embeddings(pixel_values.transpose(0, 2, 3, 1))
        return self.layernorm(embeddings.transpose(0, 3, 1, 2))


class ConvNextStage(nn.Module):
    """transformers.models.convnext.modeling_convnext.ConvNextStage"""

    def __init__(self):
        super().__init__()
        self.layers = [ConvNextLayer(dim=8, dim_2=32)]

    def __call__(self, features):
        features = self.layers[0](features)
        return features


class ConvNextStage2(nn.Module):
    """transformers.models.convnext.modeling_convnext.ConvNextStage"""

    def __init__(self, dim, dim_2, dim_2_2):
        super().__init__()
        self.downsampling_layer = [ConvNextLayerNorm(value=dim), nn.Conv2d(dim, dim_2, 2, stride=2)]
        self.layers = [ConvNextLayer(dim=dim_2, dim_2=dim_2_2)]

    def __call__(self, features):
        features = self.downsampling_layer[0](features)
        features = self.downsampling_layer[1](features.transpose(0, 2, 3, 1))
        features = features.transpose(0, 3, 1, 2)
        features = self.layers[0](features)
        return features


class ConvNextStage3(nn.Module):
    """transformers.models.convnext.modeling_convnext.ConvNextStage"""

    def __init__(self):
        super().__init__()
        self.downsampling_layer = [ConvNextLayerNorm(value=16), nn.Conv2d(16, 24, 2, stride=2)]
        self.layers = [ConvNextLayer(dim=24, dim_2=96) for _ in range(2)]

    def __call__(self, features):
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
            ConvNextStage(),
            ConvNextStage2(dim=8, dim_2=16, dim_2_2=64),
            ConvNextStage3(),
            ConvNextStage2(dim=24, dim_2=32, dim_2_2=128),
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
