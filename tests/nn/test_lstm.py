"""nn/lstm.py against torch.nn.LSTM."""

import mlx.core as mx
import numpy as np
import pytest
import torch
from parity import assert_close

from pytorch_to_mlx.nn.lstm import LSTM, BiLSTM


def put(ours, theirs, suffix=""):
    def get(name):
        return getattr(theirs, f"{name}_l0{suffix}").detach().numpy()

    ours.Wx, ours.Wh = mx.array(get("weight_ih")), mx.array(get("weight_hh"))
    ours.bias = mx.array(get("bias_ih") + get("bias_hh"))


@pytest.mark.parametrize("batch,length", [(1, 1), (1, 57), (3, 20)])
@pytest.mark.parametrize("bidirectional", [True, False])
def test_lstm(batch, length, bidirectional):
    torch.manual_seed(0)
    theirs = torch.nn.LSTM(12, 8, batch_first=True, bidirectional=bidirectional)
    ours = BiLSTM(12, 8) if bidirectional else LSTM(12, 8)
    put(ours.forward if bidirectional else ours, theirs)
    if bidirectional:
        put(ours.backward, theirs, "_reverse")
    x = np.random.default_rng(0).standard_normal((batch, length, 12)).astype(np.float32)
    with torch.no_grad():
        narrow, wide = (theirs.to(d)(torch.from_numpy(x).to(d))[0] for d in (torch.float32, torch.float64))
    assert_close(ours(mx.array(x)), narrow, wide)
