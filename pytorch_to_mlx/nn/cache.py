"""The keys and values of the tokens that a decoder has already read."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import mlx.core as mx

STEP = 256  # tokens that the arrays grow by, so that only one token in 256 copies them


class KVCache:
    """The keys and values of one attention layer; it grows as tokens come.

    Source: mlx_lm/models/cache.py `KVCache`, which grows in the same steps.
    """

    def __init__(self) -> None:
        self.offset = 0
        self._keys: mx.array | None = None
        self._values: mx.array | None = None

    def update(self, keys: mx.array, values: mx.array) -> tuple[mx.array, mx.array]:
        """Append the keys and values of new tokens, and return those of all tokens so far.

        Shapes: keys and values [B, H, L, D] -> two of [B, H, offset, D], `offset` counting the new ones too.
        """
        start, end = self.offset, self.offset + keys.shape[2]
        if self._keys is None or self._values is None or end > self._keys.shape[2]:
            self._keys = _enlarge(self._keys, keys, start, end)
            self._values = _enlarge(self._values, values, start, end)
        self._keys[:, :, start:end] = keys
        self._values[:, :, start:end] = values
        self.offset = end
        return self._keys[:, :, :end], self._values[:, :, :end]

    @property
    def arrays(self) -> tuple[mx.array, ...]:
        """Return what to evaluate after each step, so that the graph does not grow over the steps.

        Shapes: -> two of [B, H, capacity, D], or nothing before the first token.
        """
        return () if self._keys is None or self._values is None else (self._keys, self._values)


class LayerState(NamedTuple):
    """What one decoder layer keeps: of the tokens so far a row for each sequence, of the source one for each sentence.

    past: keys and values [B, H, L, D], or the cell [B, D] of a recurrent layer; None before the first token.
    """

    past: tuple[mx.array, ...] | None
    cross_k: mx.array
    cross_v: mx.array


@dataclass(frozen=True)
class DecoderState:
    """Where the decoder of an encoder-decoder stands. The sequences of a sentence are neighbours.

    mask: which steps of the source are not padding, [sentences, 1, 1, S]; None where all are. offset: tokens so far.
    """

    layers: tuple[LayerState, ...]
    mask: mx.array | None
    offset: int = 0

    def select(self, sentences: Sequence[int], rows: Sequence[int]) -> "DecoderState":
        """Return the state of these sentences and these sequences, which may occur several times."""
        first = self.layers[0]
        keep = None if list(sentences) == list(range(first.cross_k.shape[0])) else mx.array(list(sentences))
        same_rows = first.past is not None and list(rows) == list(range(first.past[0].shape[0]))
        index = None if same_rows else mx.array(list(rows))  # greedy search moves no row: nothing is copied
        layers = []
        for past, k, v in self.layers:
            moved = past if past is None or index is None else tuple(array[index] for array in past)
            layers.append(LayerState(moved, k if keep is None else k[keep], v if keep is None else v[keep]))
        mask = self.mask if keep is None or self.mask is None else self.mask[keep]
        return replace(self, layers=tuple(layers), mask=mask)


def _enlarge(buffer: mx.array | None, new: mx.array, n_used: int, n_needed: int) -> mx.array:
    """Return `buffer` with its first n_used tokens and room for n_needed, in whole steps; `new` gives the shape."""
    batch, heads, _, width = new.shape
    n_free = -(-n_needed // STEP) * STEP - n_used
    free = mx.zeros((batch, heads, n_free, width), new.dtype)
    return free if buffer is None else mx.concatenate([buffer[:, :, :n_used], free], axis=2)
