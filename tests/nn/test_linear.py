"""nn/linear.py: float layers against torch, quantized ones against mlx.nn."""

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import torch

from pytorch_to_mlx.nn.linear import layer_norm, linear, output_logits


def test_linear_and_its_quantized_form():
    layer = nn.Linear(64, 32)
    x = mx.random.normal((3, 64))
    expected = torch.nn.functional.linear(*(torch.from_numpy(np.array(a)) for a in (x, layer.weight, layer.bias)))
    assert np.allclose(np.array(linear(layer, x)), expected.numpy(), atol=1e-6)
    quantized = layer.to_quantized(group_size=32, bits=8)
    assert np.allclose(np.array(linear(quantized, x)), np.array(quantized(x)), atol=1e-4)
    without = nn.Linear(64, 32, bias=False)
    assert np.allclose(np.array(linear(without, x)), np.array(x @ without.weight.T), atol=1e-6)


def test_layer_norm_is_torch_s():
    layer = nn.LayerNorm(48)
    layer.weight, layer.bias = mx.random.normal((48,)), mx.random.normal((48,))
    x = 3 * mx.random.normal((2, 5, 48)) + 1
    weight, bias, y = (torch.from_numpy(np.array(a)) for a in (layer.weight, layer.bias, x))
    expected = torch.nn.functional.layer_norm(y, (48,), weight, bias, 1e-5).numpy()
    assert np.allclose(np.array(layer_norm(layer, x)), expected, atol=1e-5)


def test_output_logits_are_the_embedding_transposed():
    embedding = nn.Embedding(96, 64)
    x = mx.random.normal((2, 1, 64))
    assert np.allclose(np.array(output_logits(embedding, x)), np.array(x @ embedding.weight.T), atol=1e-6)
    quantized = embedding.to_quantized(group_size=32, bits=8)
    assert np.allclose(np.array(output_logits(quantized, x)), np.array(quantized.as_linear(x)), atol=1e-4)
