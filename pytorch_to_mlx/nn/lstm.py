"""Long short-term memory."""

import math

import mlx.core as mx
from mlx.nn import Module

from ..backend import ops

LSTMState = tuple[mx.array, mx.array]  # h and c, [B, D] each


class LSTM(Module):
    """One direction; the parameters are those of mlx.nn.LSTM, with torch's two biases as their sum.

    i, f, g, o = x Wx + h Wh + bias;  c' = σ(f)·c + σ(i)·tanh(g);  h' = σ(o)·tanh(c').
    Shapes: x [B, L, D_in] -> [B, L, D]. Source: Hochreiter & Schmidhuber 1997; gate order of torch.nn.LSTM.
    """

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        bound = 1 / math.sqrt(hidden_size)
        self.Wx = mx.random.uniform(-bound, bound, (4 * hidden_size, input_size))
        self.Wh = mx.random.uniform(-bound, bound, (4 * hidden_size, hidden_size))
        self.bias = mx.zeros(4 * hidden_size)

    def gates(self, x: mx.array) -> mx.array:
        """The part that does not depend on the hidden state. Shapes: [B, L, D_in] -> [B, L, 4D]."""
        return ops.linear(x, self.Wx, self.bias)

    def __call__(self, x: mx.array) -> mx.array:
        return ops.lstm(self.gates(x)[None], self.Wh[None])[0]

    def steps(self, x: mx.array, state: LSTMState) -> tuple[mx.array, LSTMState]:
        """The same from a state, for streams. Shapes: x [B, L, D_in] -> [B, L, D], and the state after it."""
        hidden, cell = state
        outputs, last = ops.lstm_steps(self.gates(x)[None], self.Wh[None], hidden[None], cell[None])
        return outputs[0], (outputs[0, :, -1], last[0])


class BiLSTM(Module):
    """Two directions side by side: hidden_size features from the left, then hidden_size from the right.

    Shapes: x [B, L, D_in] -> [B, L, 2·D]. Source: Schuster & Paliwal 1997; torch.nn.LSTM(bidirectional=True).
    """

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.forward = LSTM(input_size, hidden_size)
        self.backward = LSTM(input_size, hidden_size)

    def __call__(self, x: mx.array) -> mx.array:
        gates = mx.stack([self.forward.gates(x), self.backward.gates(x[:, ::-1])])
        left, right = ops.lstm(gates, mx.stack([self.forward.Wh, self.backward.Wh]))
        return mx.concatenate([left, right[:, ::-1]], axis=-1)
