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

    def __init__(self, dim, eps):
        super().__init__()
        self.eps = eps
        self.weight = mx.zeros([dim])
        self.bias = mx.zeros([dim])

    def __call__(self, features):
        features = features.transpose(0, 2, 3, 1)
        features = mx.fast.layer_norm(features, self.weight, self.bias, self.eps)
        return features.transpose(0, 3, 1, 2)


class ConvNextLayer(nn.Module):
    """transformers.models.convnext.modeling_convnext.ConvNextLayer"""

    def __init__(self, dim, pwconv1_out_features, kernel_size, padding, eps):
        super().__init__()
        self.layer_scale_parameter = mx.zeros([dim])
        self.dwconv = nn.Conv2d(dim, dim, kernel_size, padding=padding, groups=dim)
        self.layernorm = nn.LayerNorm(dim, eps=eps)
        self.pwconv1 = nn.Linear(dim, pwconv1_out_features)
        self.pwconv2 = nn.Linear(pwconv1_out_features, dim)

    def __call__(self, features):
        dwconv_output = self.dwconv(features.transpose(0, 2, 3, 1))
        layernorm_output = self.layernorm(dwconv_output)
        pwconv1_output = self.pwconv1(layernorm_output)
        features_2 = nn.gelu(pwconv1_output)
        pwconv2_output = self.pwconv2(features_2)
        features_2 = self.layer_scale_parameter * pwconv2_output
        return features + features_2.transpose(0, 3, 1, 2)


class ConvNextEmbeddings(nn.Module):
    """transformers.models.convnext.modeling_convnext.ConvNextEmbeddings"""

    def __init__(self, num_channels, patch_size, patch_embeddings_out_channels, eps):
        super().__init__()
        self.patch_embeddings = nn.Conv2d(num_channels, patch_embeddings_out_channels, patch_size, stride=patch_size)
        self.layernorm = ConvNextLayerNorm(dim=patch_embeddings_out_channels, eps=eps)

    def __call__(self, pixel_values):
        embeddings = self.patch_embeddings(pixel_values.transpose(0, 2, 3, 1))
        return self.layernorm(embeddings.transpose(0, 3, 1, 2))


class ConvNextStage(nn.Module):
    """transformers.models.convnext.modeling_convnext.ConvNextStage"""

    def __init__(
        self,
        has_downsampling_layer,
        dim,
        pwconv1_out_features,
        num_layers,
        eps,
        kernel_size,
        stride,
        padding,
        downsampling_layer_dim=None,
    ):
        super().__init__()
        self.has_downsampling_layer = has_downsampling_layer
        if has_downsampling_layer:
            self.downsampling_layer = [
                ConvNextLayerNorm(dim=downsampling_layer_dim, eps=eps),
                nn.Conv2d(downsampling_layer_dim, dim, kernel_size, stride=stride),
            ]
        self.layers = [
            ConvNextLayer(dim=dim, pwconv1_out_features=pwconv1_out_features, kernel_size=7, padding=padding, eps=eps)
            for _ in range(num_layers)
        ]

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
            ConvNextStage(
                has_downsampling_layer=False,
                dim=8,
                pwconv1_out_features=32,
                num_layers=1,
                eps=1e-06,
                kernel_size=2,
                stride=2,
                padding=3,
            ),
            ConvNextStage(
                has_downsampling_layer=True,
                dim=16,
                pwconv1_out_features=64,
                num_layers=1,
                eps=1e-06,
                kernel_size=2,
                stride=2,
                padding=3,
                downsampling_layer_dim=8,
            ),
            ConvNextStage(
                has_downsampling_layer=True,
                dim=24,
                pwconv1_out_features=96,
                num_layers=2,
                eps=1e-06,
                kernel_size=2,
                stride=2,
                padding=3,
                downsampling_layer_dim=16,
            ),
            ConvNextStage(
                has_downsampling_layer=True,
                dim=32,
                pwconv1_out_features=128,
                num_layers=1,
                eps=1e-06,
                kernel_size=2,
                stride=2,
                padding=3,
                downsampling_layer_dim=24,
            ),
        ]

    def __call__(self, hidden_states):
        for stage in self.stages:
            hidden_states = stage(hidden_states)
        return hidden_states


class ConvNextModel(nn.Module):
    """transformers.models.convnext.modeling_convnext.ConvNextModel"""

    def __init__(self, num_channels, patch_size, layer_norm_eps, patch_embeddings_out_channels, eps, dim):
        super().__init__()
        self.embeddings = ConvNextEmbeddings(
            num_channels=num_channels,
            patch_size=patch_size,
            patch_embeddings_out_channels=patch_embeddings_out_channels,
            eps=eps,
        )
        self.encoder = ConvNextEncoder()
        self.layernorm = nn.LayerNorm(dim, eps=layer_norm_eps)

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
    config = json.loads((Path(folder) / "config.json").read_text())
    model = ConvNextModel(**config["sizes"])
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
