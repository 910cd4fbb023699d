"""Recurrent layers, against torch."""

import numpy as np
import pytest
import torch
from torch import nn

from pytorch_to_mlx.codegen.capture.tensors import to_mlx, to_numpy
from pytorch_to_mlx.codegen.lowering.functions.recurrent import recurrent, recurrent_cell

LAYERS = {"lstm": nn.LSTM, "gru": nn.GRU, "tanh": nn.RNN, "relu": lambda *a, **k: nn.RNN(*a, nonlinearity="relu", **k)}
CELLS = {"lstm": nn.LSTMCell, "gru": nn.GRUCell, "tanh": nn.RNNCell}


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("both, batch_first, bias", [(True, False, True), (False, True, False)])
def test_two_layers(kind, both, batch_first, bias):
    torch.manual_seed(0)
    layer = LAYERS[kind](4, 3, num_layers=2, bidirectional=both, batch_first=batch_first, bias=bias)
    x = torch.randn(2, 5, 4)
    batch = 2 if batch_first else 5
    states = [torch.randn(4 if both else 2, batch, 3) for _ in range(2 if kind == "lstm" else 1)]
    with torch.no_grad():
        outputs, finals = layer(x, tuple(states) if kind == "lstm" else states[0])
    weights = [to_mlx(weight.detach()) for weight in layer.parameters()]
    ours = recurrent(kind, to_mlx(x), [to_mlx(s) for s in states], weights, bias, 2, both, batch_first)
    for part, expected in zip(ours, [outputs, *(finals if kind == "lstm" else [finals])], strict=True):
        np.testing.assert_allclose(to_numpy(part), expected.numpy(), atol=1e-6)


@pytest.mark.parametrize("kind", CELLS)
def test_one_step(kind):
    torch.manual_seed(0)
    cell, x = CELLS[kind](4, 3), torch.randn(2, 4)
    states = [torch.randn(2, 3) for _ in range(2 if kind == "lstm" else 1)]
    with torch.no_grad():
        expected = cell(x, tuple(states) if kind == "lstm" else states[0])
    weights = [to_mlx(weight.detach()) for weight in cell.parameters()]
    ours = recurrent_cell(kind, to_mlx(x), [to_mlx(s) for s in states], *weights)
    for part, target in zip(ours, expected if kind == "lstm" else [expected], strict=True):
        np.testing.assert_allclose(to_numpy(part), target.numpy(), atol=1e-6)
