"""The output layer of a language model: logits over the vocabulary, or only the likeliest tokens."""

from dataclasses import dataclass

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from ..backend import ops
from ..backend.plain_topk import greatest_logits
from .linear import activation_bits, linear, output_logits
from .screen import screen_of

Layer = nn.Linear | nn.QuantizedLinear | nn.Embedding | nn.QuantizedEmbedding


@dataclass(frozen=True)
class OutputLayer:
    """Logits scale · x Wᵀ + bias in float32. layer: has W as its weight, a layer of its own or a tied embedding.

    Source: Press & Wolf 2017, "Using the Output Embedding to Improve Language Models".
    """

    layer: Layer
    bias: mx.array | None = None
    scale: float = 1.0

    @property
    def n_vocab(self) -> int:
        """Return how many tokens there are."""
        return self.layer.weight.shape[0]

    def logits(self, hidden: mx.array) -> mx.array:
        """Return the logits of every token. Shapes: hidden [..., D] -> [..., V] float32."""
        x = self._scaled(hidden)
        if isinstance(self.layer, nn.Embedding | nn.QuantizedEmbedding):
            logits = output_logits(self.layer, x)
        else:
            logits = linear(self.layer, x).astype(mx.float32)
        return logits if self.bias is None else logits + self.bias

    def best(self, hidden: mx.array, count: int) -> tuple[mx.array, mx.array, mx.array]:
        """Return the greatest logits, at most `count`, their ids, and log Σ e^(logit - greatest).

        Shapes: hidden [rows, D] -> [rows, count], [rows, count] int32, [rows].
        """
        layer, x, count = self.layer, self._scaled(hidden), min(count, self.n_vocab)
        if isinstance(layer, nn.Linear | nn.Embedding):
            return ops.linear_topk(x, layer.weight, self.bias, count=count)
        if layer.mode != "affine":
            return greatest_logits(self.logits(hidden), None, count)
        return ops.quantized_topk(
            x, layer.weight, layer.scales, layer["biases"], self.bias,
            count=count, group_size=layer.group_size, bits=layer.bits, x_bits=activation_bits(layer),
        )  # fmt: skip

    def best_of_row(self, hidden: mx.array, count: int) -> tuple[np.ndarray, np.ndarray] | None:
        """Return the greatest logits of one row and their ids sooner than `best`, where screening can; see `screen`.

        Shapes: hidden [1, D] -> [1, count], [1, count] int32.
        """
        if not isinstance(self.layer, nn.Linear | nn.Embedding) or (screen := screen_of(self.layer)) is None:
            return None
        return screen.best(self._scaled(hidden), self.bias, min(count, self.n_vocab))

    def rows(self, words: mx.array) -> "OutputLayer":
        """Return the layer of these tokens only. Shapes: words [n]."""
        layer = self.layer
        if isinstance(layer, nn.QuantizedLinear | nn.QuantizedEmbedding):
            biases = layer.get("biases")
            packed = layer.weight[words], layer.scales[words], None if biases is None else biases[words]
            weight = mx.dequantize(*packed, group_size=layer.group_size, bits=layer.bits, mode=layer.mode)
        else:
            weight = layer.weight[words]
        some = nn.Embedding(1, 1)
        some.weight = weight
        return OutputLayer(some, None if self.bias is None else self.bias[words], self.scale)

    def _scaled(self, hidden: mx.array) -> mx.array:
        return hidden if self.scale == 1 else hidden * self.scale
