"""Layers of mlx.nn, float or quantized, computed through the facade that picks the kernel."""

import mlx.core as mx
import mlx.nn as nn

from ..backend import ops


def linear(layer: nn.Linear | nn.QuantizedLinear, x: mx.array) -> mx.array:
    """x W^T + b. Shapes: x [..., D_in] -> [..., D_out]."""
    if isinstance(layer, nn.QuantizedLinear):
        y = _quantized(layer, x)
        return y if layer.get("bias") is None else y + layer.bias
    return ops.linear(x, layer.weight, layer.get("bias"))


def layer_norm(layer: nn.LayerNorm, x: mx.array) -> mx.array:
    """Normalise the last axis. Shapes: x [..., D] -> [..., D]."""
    return ops.layer_norm(x, layer.get("weight"), layer.get("bias"), layer.eps)


def output_logits(embedding: nn.Embedding | nn.QuantizedEmbedding, x: mx.array) -> mx.array:
    """The tied output layer: x E^T in float32. Shapes: x [..., D] -> [..., V]."""
    if isinstance(embedding, nn.QuantizedEmbedding):
        return _quantized(embedding, x).astype(mx.float32)
    return ops.linear(x, embedding.weight).astype(mx.float32)


def _quantized(layer: nn.QuantizedLinear | nn.QuantizedEmbedding, x: mx.array) -> mx.array:
    return ops.quantized_matmul(
        x,
        layer.weight,
        layer.scales,
        layer.get("biases"),
        group_size=layer.group_size,
        bits=layer.bits,
        mode=layer.mode,
    )
