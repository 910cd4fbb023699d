"""Recurrent layers: torch stores w_ih, w_hh, b_ih, b_hh per layer and direction; dropout between layers is refused."""

from ...graph import Unsupported
from ..recorder import fn
from .op_table import lowers


def _run(kind, x, states, params, has_biases, num_layers, dropout, train, bidirectional, batch_first):
    if train and dropout:
        raise Unsupported(
            f"{kind}: dropout in training mode is refused: it is random", fix="call .eval() on the module"
        )
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


def _run_packed(kind, data, batch_sizes, states, params, has_biases, num_layers, dropout, train, bidirectional):
    if train and dropout:
        raise Unsupported(f"{kind}: dropout in training mode is refused: it is random", fix="call .eval()")
    parts = list(states), list(params)
    return tuple(fn.packed_recurrent(kind, data, batch_sizes, *parts, has_biases, num_layers, bidirectional))


@lowers("lstm.data")
def lstm_packed(data, batch_sizes, hx, params, has_biases, num_layers, dropout, train, bidirectional):
    return _run_packed("lstm", data, batch_sizes, hx, params, has_biases, num_layers, dropout, train, bidirectional)


@lowers("gru.data")
def gru_packed(data, batch_sizes, hx, params, has_biases, num_layers, dropout, train, bidirectional):
    return _run_packed("gru", data, batch_sizes, [hx], params, has_biases, num_layers, dropout, train, bidirectional)


@lowers("rnn_tanh.data")
def rnn_tanh_packed(data, batch_sizes, hx, params, has_biases, num_layers, dropout, train, bidirectional):
    return _run_packed("tanh", data, batch_sizes, [hx], params, has_biases, num_layers, dropout, train, bidirectional)


@lowers("rnn_relu.data")
def rnn_relu_packed(data, batch_sizes, hx, params, has_biases, num_layers, dropout, train, bidirectional):
    return _run_packed("relu", data, batch_sizes, [hx], params, has_biases, num_layers, dropout, train, bidirectional)


@lowers("_pack_padded_sequence.default")
def pack_padded_sequence(x, lengths, batch_first):
    return tuple(fn.pack_padded(x, lengths, batch_first))


@lowers("pytorch_to_mlx.pad_packed.default")
def pad_packed(data, batch_sizes, batch_first, padding_value, total_length, n_rows):
    return tuple(fn.pad_packed(data, batch_sizes, batch_first, padding_value, total_length, n_rows))


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
