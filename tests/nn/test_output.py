"""nn/output.py: the likeliest tokens of an output layer are those of its logits, whatever its weights are stored as."""

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest

from pytorch_to_mlx.nn.output import OutputLayer

LAYERS = {
    "linear": lambda: nn.Linear(64, 90, bias=False),
    "embedding": lambda: nn.Embedding(90, 64),
    "8 bits": lambda: nn.Linear(64, 90, bias=False).to_quantized(64, 8),
    "4 bits": lambda: nn.Embedding(90, 64).to_quantized(64, 4),
    "mxfp4": lambda: nn.Embedding(90, 64).to_quantized(32, 4, mode="mxfp4"),
}


@pytest.mark.parametrize("name", LAYERS)
def test_the_likeliest_tokens(name):
    mx.random.seed(0)
    output = OutputLayer(LAYERS[name](), mx.random.normal((90,)), scale=2.5)
    hidden = mx.random.normal((3, 64))
    logits = np.array(output.logits(hidden))
    best, ids, log_sums = map(np.array, output.best(hidden, 6))
    assert ids.tolist() == np.argsort(-logits, axis=-1, kind="stable")[:, :6].tolist() and output.n_vocab == 90
    np.testing.assert_allclose(best, np.take_along_axis(logits, ids, axis=-1), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(log_sums, np.log(np.exp(logits - best[:, :1]).sum(axis=-1)), atol=1e-5)
    assert output.best(hidden, 1000)[1].shape == (3, 90)
    some = mx.array([3, 17, 80])
    np.testing.assert_allclose(output.rows(some).logits(hidden), logits[:, [3, 17, 80]], rtol=1e-4, atol=1e-4)
