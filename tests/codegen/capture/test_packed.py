"""Packed sequences: lengths of other calls than the example's, in every kind of recurrent layer. Right is PyTorch."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from pytorch_to_mlx import convert
from pytorch_to_mlx.codegen.capture.tensors import to_mlx
from pytorch_to_mlx.codegen.convert_module import load_generated
from pytorch_to_mlx.codegen.proof.outputs import flat_arrays, flat_results


class Packed(nn.Module):
    """Returns the padded outputs, the lengths and the states after the last step of each row."""

    def __init__(self, kind, *, batch_first=True, sorted=False, total=False, start=False, **options):
        super().__init__()
        self.rnn = getattr(nn, kind)(6, 8, batch_first=batch_first, **options)
        self.batch_first, self.sorted, self.total, self.start = batch_first, sorted, total, start

    def forward(self, x, lengths):
        packed = pack_padded_sequence(x, lengths, batch_first=self.batch_first, enforce_sorted=self.sorted)
        states = None
        if self.start:
            n_states = self.rnn.num_layers * (2 if self.rnn.bidirectional else 1)
            states = x.new_ones(n_states, len(lengths), 8) * torch.arange(len(lengths))[None, :, None] * 0.1
            states = (states, 2 * states) if self.rnn.mode == "LSTM" else states
        y, states = self.rnn(packed, states)
        total = x.shape[1 if self.batch_first else 0] if self.total else None
        return pad_packed_sequence(y, batch_first=self.batch_first, total_length=total), states


class Inside(nn.Module):
    """Computes on the data of a packed sequence, whose lengths come from a mask."""

    def __init__(self):
        super().__init__()
        self.layer, self.rnn = nn.Linear(6, 6), nn.GRU(6, 8, batch_first=True)

    def forward(self, x, lengths):
        mask = torch.arange(x.shape[1]) < lengths[:, None]
        packed = pack_padded_sequence(x, mask.sum(1).cpu(), batch_first=True, enforce_sorted=False)
        packed = PackedSequence(self.layer(packed.data).relu(), *packed[1:])
        return pad_packed_sequence(self.rnn(packed)[0], batch_first=True, padding_value=-1.0)[0]


CASES = {
    "lstm": Packed("LSTM"),
    "both": Packed("LSTM", bidirectional=True, total=True, start=True),
    "gru": Packed("GRU", num_layers=2, bidirectional=True, start=True),
    "rnn": Packed("RNN", batch_first=False, nonlinearity="relu", bias=False, total=True),
    "sorted": Packed("RNN", sorted=True),
    "projected": Packed("LSTM", num_layers=2, bidirectional=True, proj_size=3),
    "inside": Inside(),
}


@pytest.mark.filterwarnings("ignore:LSTM with projections")
@pytest.mark.parametrize("name", CASES)
def test_rows_of_unequal_length(tmp_path, name):
    module = CASES[name]

    def inputs(longest, *lengths):
        shape = (len(lengths), longest, 6)
        x = torch.randn(shape) if getattr(module, "batch_first", True) else torch.randn(shape).transpose(0, 1)
        return x, torch.tensor(lengths)

    torch.manual_seed(0)
    example, others = inputs(7, 7, 5, 3), [inputs(9, 8, 6, 4, 1)]
    others += [] if name == "sorted" else [inputs(7, 4, 7, 6), inputs(6, 2, 5)]
    convert(module, tmp_path / "out", example_inputs=example).check()
    model = load_generated(tmp_path / "out")
    for x, lengths in (example, *others):
        with torch.no_grad():
            right = flat_results(module(x, lengths))
        ours = flat_arrays(model(to_mlx(x), to_mlx(lengths)))
        for one, other in zip(ours, right, strict=True):
            np.testing.assert_allclose(np.array(one), other.numpy(), atol=1e-5)


@pytest.mark.filterwarnings("ignore:LSTM with projections")
def test_a_projected_lstm(tmp_path):
    """nn.LSTM(proj_size=3): outputs and hidden states have 3 features, cells 8."""
    module = nn.LSTM(6, 8, 2, batch_first=True, proj_size=3)
    convert(module, tmp_path / "out", example_inputs=torch.randn(2, 5, 6)).check()
    y, (hidden, cell) = load_generated(tmp_path / "out")(to_mlx(torch.randn(3, 8, 6)))
    assert (y.shape, hidden.shape, cell.shape) == ((3, 8, 3), (2, 3, 3), (2, 3, 8))
