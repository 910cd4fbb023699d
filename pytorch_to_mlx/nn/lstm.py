"""Long short-term memory, in one direction and in both."""

import math

import mlx.core as mx
from mlx.nn import Module

from ..backend import ops

LSTMState = tuple[mx.array, mx.array]  # h and c, [B, D] each


class LSTM(Module):
    """An LSTM in one direction: i, f, g, o = x Wx + h Wh + bias;  c' = σ(f)·c + σ(i)·tanh(g);  h' = σ(o)·tanh(c').

    The parameters are those of mlx.nn.LSTM: `bias` is the sum of torch's two.
    Source: Hochreiter & Schmidhuber 1997; gate order of torch.nn.LSTM.
    """

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        bound = 1 / math.sqrt(hidden_size)
        self.Wx = mx.random.uniform(-bound, bound, (4 * hidden_size, input_size))
        self.Wh = mx.random.uniform(-bound, bound, (4 * hidden_size, hidden_size))
        self.bias = mx.zeros(4 * hidden_size)

    def gates(self, x: mx.array) -> mx.array:
        """Return x Wx + bias, the part of the gates without the hidden state. Shapes: [B, L, D_in] -> [B, L, 4D]."""
        return ops.linear(x, self.Wx, self.bias)

    def __call__(self, x: mx.array) -> mx.array:
        """Run from a zero state. Shapes: x [B, L, D_in] -> [B, L, D]."""
        return ops.lstm(self.gates(x)[None], self.Wh[None])[0]

    def steps(self, x: mx.array, state: LSTMState) -> tuple[mx.array, LSTMState]:
        """Run from `state`, for streams; also return the state after x. Shapes: x [B, L, D_in] -> [B, L, D]."""
        hidden, cell = state
        outputs, last = ops.lstm_steps(self.gates(x), self.Wh, hidden, cell)
        return outputs, (outputs[:, -1], last)


class BiLSTM(Module):
    """Two LSTMs side by side: hidden_size features from left to right, then hidden_size from right to left.

    Source: Schuster & Paliwal 1997; torch.nn.LSTM(bidirectional=True).
    """

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.forward = LSTM(input_size, hidden_size)
        self.backward = LSTM(input_size, hidden_size)

    def __call__(self, x: mx.array) -> mx.array:
        """Run both directions from a zero state. Shapes: x [B, L, D_in] -> [B, L, 2·D]."""
        gates = mx.stack([self.forward.gates(x), self.backward.gates(x[:, ::-1])])
        left, right = ops.lstm(gates, mx.stack([self.forward.Wh, self.backward.Wh]))
        return mx.concatenate([left, right[:, ::-1]], axis=-1)
