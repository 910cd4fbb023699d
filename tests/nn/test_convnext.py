"""ConvNeXt blocks against their equations in float64."""

import math

import mlx.core as mx
import numpy as np
import pytest

from pytorch_to_mlx.nn.convnext import ConvNeXtBlock, ConvNeXtV2Block

SIZE, INNER, LENGTH = 6, 10, 9


def expected(block, x):
    w = {name: {key: np.array(value, np.float64) for key, value in layer.items() if isinstance(value, mx.array)}
         for name, layer in block.items() if isinstance(layer, dict)}  # fmt: skip
    padded = np.pad(x, ((3, 3), (0, 0)))
    y = sum(padded[k : k + LENGTH] * w["conv"]["weight"][:, k, 0] for k in range(7)) + w["conv"]["bias"]
    y = (y - y.mean(-1, keepdims=True)) / np.sqrt(y.var(-1, keepdims=True) + 1e-6)
    h = (y * w["norm"]["weight"] + w["norm"]["bias"]) @ w["up_proj"]["weight"].T + w["up_proj"]["bias"]
    h = h * (1 + np.vectorize(math.erf)(h / math.sqrt(2))) / 2
    if isinstance(block, ConvNeXtBlock):
        return x + np.array(block.gamma) * (h @ w["down_proj"]["weight"].T + w["down_proj"]["bias"])
    lengths = np.sqrt(np.square(h).sum(0))
    h = np.array(block.gamma) * (h * lengths / (lengths.mean() + 1e-6)) + np.array(block.beta) + h
    return x + h @ w["down_proj"]["weight"].T + w["down_proj"]["bias"]


@pytest.mark.parametrize("kind", [ConvNeXtBlock, ConvNeXtV2Block])
def test_block(kind):
    mx.random.seed(0)
    block = kind(SIZE, INNER)
    for part in (block, *(layer for layer in block.values() if isinstance(layer, dict))):
        part.update({k: mx.random.normal(v.shape) for k, v in part.items() if isinstance(v, mx.array)})
    x = np.random.default_rng(0).standard_normal((LENGTH, SIZE)).astype(np.float32)
    y = np.array(block(mx.array(x)[None])[0])
    np.testing.assert_allclose(y, expected(block, x.astype(np.float64)), rtol=0, atol=2e-5 * np.abs(y).max())
