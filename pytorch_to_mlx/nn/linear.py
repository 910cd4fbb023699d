"""The layers of mlx.nn, float or quantized, on the CPU kernels where there are any."""

import mlx.core as mx
import mlx.nn as nn

from ..backend import ops


def linear(layer: nn.Linear | nn.QuantizedLinear, x: mx.array, *, slope: float | None = None) -> mx.array:
    """Return x Wᵀ + b. slope: of a leaky ReLU that follows, 0 for ReLU.

    Shapes: x [..., D_in] -> [..., D_out]. Source: mlx.nn.Linear and QuantizedLinear.
    """
    if isinstance(layer, nn.QuantizedLinear):
        y = _quantized(layer, x, layer.get("bias"))
        return y if slope is None else ops.leaky_relu(y, slope)
    return ops.linear(x, layer.weight, layer.get("bias"), slope=slope)


def layer_norm(layer: nn.LayerNorm, x: mx.array) -> mx.array:
    """Normalise the last axis, then scale and shift. Shapes: x [..., D] -> [..., D]. Source: Ba et al. 2016, eq. 3."""
    return ops.layer_norm(x, layer.get("weight"), layer.get("bias"), layer.eps)


def output_logits(embedding: nn.Embedding | nn.QuantizedEmbedding, x: mx.array) -> mx.array:
    """Return the logits of a tied output layer, x Eᵀ, in float32.

    Shapes: x [..., D] -> [..., V].
    Source: Press & Wolf 2017, "Using the Output Embedding to Improve Language Models".
    """
    if isinstance(embedding, nn.QuantizedEmbedding):
        return _quantized(embedding, x).astype(mx.float32)
    return ops.linear(x, embedding.weight).astype(mx.float32)


def activation_bits(layer: nn.QuantizedLinear | nn.QuantizedEmbedding) -> int | None:
    """Return to how many bits the layer's input is rounded; `weights.quantize.round_activations` says so."""
    return getattr(layer, "activation_bits", None)


def _quantized(
    layer: nn.QuantizedLinear | nn.QuantizedEmbedding, x: mx.array, bias: mx.array | None = None
) -> mx.array:
    return ops.quantized_matmul(
        x,
        layer.weight,
        layer.scales,
        layer.get("biases"),
        group_size=layer.group_size,
        bits=layer.bits,
        mode=layer.mode,
        bias=bias,
        x_bits=activation_bits(layer),
    )
