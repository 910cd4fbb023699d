"""Read the sizes of the two ONNX parts from the shapes in their files."""

from collections.abc import Mapping
from typing import Any

from ....checkpoint import TensorInfo


def campplus_config(tensors: Mapping[str, TensorInfo]) -> dict[str, Any]:
    """Return the config of CAM++. Raises: KeyError or ValueError if the tensors are of another network."""
    shapes = {name: info.shape for name, info in tensors.items()}
    layer = "xvector.block1.tdnnd1"
    head_channels = shapes["head.conv1.weight"][0]
    embedding_size, _, _ = shapes["xvector.dense.linear.weight"]
    init_channels, head_width, _ = shapes["xvector.tdnn.linear.weight"]
    growth_rate, bn_channels, _ = shapes[f"{layer}.cam_layer.linear_local.weight"]
    return {
        "n_mels": head_width // head_channels * 8,
        "embedding_size": embedding_size,
        "head_channels": head_channels,
        "init_channels": init_channels,
        "growth_rate": growth_rate,
        "bn_channels": bn_channels,
        "block_layers": [_count(shapes, f"xvector.block{n}.tdnnd{{}}.linear1.weight", 1) for n in (1, 2, 3)],
    }


def speech_tokenizer_config(tensors: Mapping[str, TensorInfo], epsilons: Mapping[str, Any]) -> dict[str, Any]:
    """Return the config of the speech tokenizer. Raises: KeyError or ValueError if it is another network.

    epsilons: of the layer norms, by name; each layer must have the same two.
    """
    shapes = {name: info.shape for name, info in tensors.items()}
    state, n_mels, _ = shapes["conv1.weight"]
    layers = _count(shapes, "blocks.{}.attn.query.weight", 0)
    sizes: dict[str, Any] = {
        "n_mels": n_mels,
        "n_audio_state": state,
        "n_audio_head": state // 64,  # each head has 64 numbers in every release
        "n_audio_layer": layers,
        "fsmn_kernel": shapes["blocks.0.attn.fsmn_block.weight"][2],
        "code_size": shapes["quantizer.project_in.weight"][0],
    }
    for name in ("attn", "mlp"):
        (epsilon,) = {float(f"{epsilons[f'blocks.{i}.{name}_ln.epsilon']:.6g}") for i in range(layers)}
        sizes[f"{name}_norm_eps"] = epsilon
    return sizes


def vq_tokenizer_config(tensors: Mapping[str, TensorInfo], extra: Mapping[str, Any]) -> dict[str, Any]:
    """Return the config of version 1's speech tokenizer. Raises: KeyError or ValueError if it is another network.

    extra: epsilons of the layer norms, which must be the same, and the stride of the first convolution.
    """
    shapes = {name: info.shape for name, info in tensors.items()}
    state, n_mels, _ = shapes["conv1.weight"]
    layers = _count(shapes, "blocks.{}.attn.query.weight", 0)
    norms = (f"blocks.{i}.{name}_ln.epsilon" for i in range(layers) for name in ("attn", "mlp"))
    (epsilon,) = {float(f"{extra[name]:.6g}") for name in norms}
    return {
        "n_mels": n_mels,
        "n_audio_state": state,
        "n_audio_head": state // 64,  # each head has 64 numbers in every release
        "n_audio_layer": layers,
        "n_audio_ctx": shapes["positional_embedding"][0],
        "codebook_size": shapes["quantizer.rq.model.layers.0._codebook.weight"][0],
        "stride": extra["conv1.stride"],
        "norm_eps": epsilon,
    }


def _count(shapes: Mapping[str, tuple[int, ...]], name: str, first: int) -> int:
    """Count the layers whose `name` exists, numbered from `first`."""
    number = first
    while name.format(number) in shapes:
        number += 1
    return number - first
