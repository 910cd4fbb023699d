"""Capture packed sequences: torch cannot trace how it packs, runs recurrent layers on and pads rows of unequal length.

The ops of torch stay in the graph as they are; what is given here is the shapes of their results, and the number of
rows, which torch reads from a tensor.
"""

import contextlib
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import torch
from torch import nn
from torch._subclasses.fake_impls import op_implementations_dict
from torch.fx.experimental.symbolic_shapes import _constrain_range_for_size
from torch.nn.utils import rnn
from torch.utils.weak import WeakIdKeyDictionary

PACK = torch.ops.aten._pack_padded_sequence.default
RNNS = {"LSTM": "lstm", "GRU": "gru", "RNN_TANH": "rnn_tanh", "RNN_RELU": "rnn_relu"}


@torch.library.custom_op("pytorch_to_mlx::pad_packed", mutates_args=())
def pad_packed(
    data: torch.Tensor, batch_sizes: torch.Tensor, batch_first: bool, padding_value: float, total_length: int,
    n_rows: int,
) -> tuple[torch.Tensor, torch.Tensor]:  # fmt: skip
    """Pad a packed sequence as torch's op does, which takes no dynamic length.

    Shapes: data [N, *], batch_sizes [T] -> [total_length, n_rows, *] ([n_rows, total_length, *] for batch_first),
    lengths [n_rows].
    """
    return torch.ops.aten._pad_packed_sequence(data, batch_sizes, batch_first, padding_value, total_length)


@pad_packed.register_fake
def _padded(
    data: Any, batch_sizes: Any, batch_first: bool, padding_value: float, total_length: Any, n_rows: Any
) -> Any:
    shape = (n_rows, total_length) if batch_first else (total_length, n_rows)
    return data.new_empty((*shape, *data.shape[1:])), batch_sizes.new_empty(n_rows)


@contextlib.contextmanager
def traceable_packs() -> Iterator[None]:
    """Let packed sequences be traced."""
    n_rows = WeakIdKeyDictionary()  # batch_sizes of a packed sequence -> its number of rows
    forwards = {kind: kind.forward for kind in (nn.LSTM, nn.GRU, nn.RNN)}

    def pack(x: torch.Tensor, lengths: torch.Tensor, batch_first: bool) -> Any:
        data, batch_sizes = PACK(x, lengths, batch_first)
        n_rows[batch_sizes] = lengths.shape[0]
        return data, batch_sizes

    def pad(data: torch.Tensor, batch_sizes: torch.Tensor, batch_first: bool, value: float, length: Any) -> Any:
        return pad_packed(data, batch_sizes, batch_first, value, length, n_rows[batch_sizes])

    def run(kind: type, self: Any, x: Any, hx: Any = None) -> Any:
        if not isinstance(x, rnn.PackedSequence):
            return forwards[kind](self, x, hx)
        self._update_flat_weights()  # as the original does: the tracer puts tensors of its own in place of parameters
        data, batch_sizes, order, back = x
        if hx is None:
            hx = _zeros(self, data, n_rows[batch_sizes])
        else:
            hx = self.permute_hidden(hx, order)
        layer = getattr(torch.ops.aten, RNNS[self.mode]).data
        options = self.bias, self.num_layers, self.dropout, self.training, self.bidirectional
        output, *states = layer(data, batch_sizes, hx, self._flat_weights, *options)
        state = tuple(states) if self.mode == "LSTM" else states[0]
        return rnn.PackedSequence(output, batch_sizes, order, back), self.permute_hidden(state, back)

    def forward_of(kind: type) -> Any:
        return lambda self, input, hx=None: run(kind, self, input, hx)

    with contextlib.ExitStack() as stack:
        op_implementations_dict[PACK] = _packed
        stack.callback(op_implementations_dict.pop, PACK)
        stack.callback(setattr, rnn, "_VF", rnn.__dict__["_VF"])
        rnn.__dict__["_VF"] = SimpleNamespace(_pack_padded_sequence=pack, _pad_packed_sequence=pad)
        for kind, forward in forwards.items():
            stack.callback(setattr, kind, "forward", forward)
            kind.forward = forward_of(kind)
        yield


def _zeros(layer: Any, data: torch.Tensor, n_rows: Any) -> Any:
    """Return the states from which a recurrent layer starts. Shapes: [layers · directions, n_rows, H] each."""
    n_states = layer.num_layers * (2 if layer.bidirectional else 1)
    zeros = data.new_zeros(n_states, n_rows, layer.proj_size or layer.hidden_size)
    return (zeros, data.new_zeros(n_states, n_rows, layer.hidden_size)) if layer.mode == "LSTM" else zeros


def _size(mode: Any, largest: Any = None) -> Any:
    """Return a new size that depends on data."""
    size = mode.shape_env.create_unbacked_symint()
    _constrain_range_for_size(size)
    if largest is not None:
        torch._check(size <= largest)
    return size


def _packed(mode: Any, op: Any, x: torch.Tensor, lengths: torch.Tensor, batch_first: bool) -> Any:
    """Shapes: x [T, B, *] ([B, T, *] for batch_first), lengths [B] -> data [their sum, *], batch_sizes [longest]."""
    longest = _size(mode, x.shape[1 if batch_first else 0])
    return x.new_empty((_size(mode), *x.shape[2:])), lengths.new_empty(longest, dtype=torch.int64)
