"""Recurrent layers: torch stores w_ih, w_hh, b_ih, b_hh per layer and direction; dropout between layers is refused."""

from ...graph import Unsupported
from ..recorder import fn
from .op_table import lowers


def _run(kind, x, states, params, has_biases, num_layers, dropout, train, bidirectional, batch_first):
    if train and dropout:
        raise Unsupported(
            f"{kind}: dropout in training mode is refused: it is random", fix="call .eval() on the module"
        )
    directions = 2 if bidirectional else 1
    if len(params) != num_layers * directions * (4 if has_biases else 2):
        raise Unsupported(f"{kind}: argument proj_size is not implemented")
    return tuple(fn.recurrent(kind, x, list(states), list(params), has_biases, num_layers, bidirectional, batch_first))


@lowers("lstm.input")
def lstm(x, hx, params, has_biases, num_layers, dropout, train, bidirectional, batch_first):
    return _run("lstm", x, hx, params, has_biases, num_layers, dropout, train, bidirectional, batch_first)


@lowers("gru.input")
def gru(x, hx, params, has_biases, num_layers, dropout, train, bidirectional, batch_first):
    return _run("gru", x, [hx], params, has_biases, num_layers, dropout, train, bidirectional, batch_first)


@lowers("rnn_tanh.input")
def rnn_tanh(x, hx, params, has_biases, num_layers, dropout, train, bidirectional, batch_first):
    return _run("tanh", x, [hx], params, has_biases, num_layers, dropout, train, bidirectional, batch_first)


@lowers("rnn_relu.input")
def rnn_relu(x, hx, params, has_biases, num_layers, dropout, train, bidirectional, batch_first):
    return _run("relu", x, [hx], params, has_biases, num_layers, dropout, train, bidirectional, batch_first)


@lowers("lstm_cell.default")
def lstm_cell(x, hx, w_ih, w_hh, b_ih=None, b_hh=None):
    return tuple(fn.recurrent_cell("lstm", x, list(hx), w_ih, w_hh, b_ih, b_hh))


@lowers("gru_cell.default")
def gru_cell(x, hx, w_ih, w_hh, b_ih=None, b_hh=None):
    return fn.recurrent_cell("gru", x, [hx], w_ih, w_hh, b_ih, b_hh)[0]


@lowers("rnn_tanh_cell.default")
def rnn_tanh_cell(x, hx, w_ih, w_hh, b_ih=None, b_hh=None):
    return fn.recurrent_cell("tanh", x, [hx], w_ih, w_hh, b_ih, b_hh)[0]


@lowers("rnn_relu_cell.default")
def rnn_relu_cell(x, hx, w_ih, w_hh, b_ih=None, b_hh=None):
    return fn.recurrent_cell("relu", x, [hx], w_ih, w_hh, b_ih, b_hh)[0]
