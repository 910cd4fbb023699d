"""The keys and values of the tokens that a decoder has already read."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import mlx.core as mx
import numpy as np

STEP = 256  # tokens that the arrays grow by, so that only one token in 256 copies them
FEW = 32  # tokens that a RowMemory begins with; it doubles


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


class RowMemory:
    """The keys and values of the tokens of several sequences. When sequences change places, nothing here is moved.

    Which row of which time belongs to a sequence is in `DecoderState.rows`.
    """

    def __init__(self) -> None:
        self._all: mx.array | None = None  # [capacity, N, 2 M]

    def append(self, keys_values: mx.array, time: int) -> mx.array:
        """Write those of new tokens, from `time` on, and return all. Shapes: keys_values [N, L, 2 M] -> [T, N, 2 M]."""
        n_rows, length, width = keys_values.shape
        end = time + length
        old = self._all
        if old is None or end > old.shape[0] or n_rows > old.shape[1]:
            capacity = max(FEW, 2 * time, end)
            self._all = mx.zeros((capacity, max(n_rows, 0 if old is None else old.shape[1]), width), keys_values.dtype)
            if old is not None:
                self._all[:time, : old.shape[1]] = old[:time]
        assert self._all is not None
        self._all[time:end, :n_rows] = keys_values.swapaxes(0, 1)
        return self._all


class LayerState(NamedTuple):
    """What one decoder layer keeps: of the tokens so far, and of the source a row for each sentence.

    past: keys and values, or the cell [B, D] of a recurrent layer, None before the first token.
    """

    past: RowMemory | mx.array | None
    cross_k: mx.array
    cross_v: mx.array


@dataclass(frozen=True)
class DecoderState:
    """Where the decoder of an encoder-decoder stands. The sequences of a sentence are neighbours.

    mask: which steps of the source are not padding, [sentences, 1, 1, S]; None where all are. rows: for each sequence
    and each of its tokens the row of every layer's memory that holds it, [sequences, L]. Go on from a state once: its
    memory is written in place.
    """

    layers: tuple[LayerState, ...]
    mask: mx.array | None
    rows: np.ndarray | None = None

    @property
    def offset(self) -> int:
        """Return how many tokens there are so far."""
        return 0 if self.rows is None else self.rows.shape[1]

    def extended(self, n_rows: int, length: int) -> np.ndarray:
        """Return `rows` with new tokens, each in the row of its sequence. Shapes: -> [n_rows, offset + length]."""
        new = np.repeat(np.arange(n_rows, dtype=np.int32)[:, None], length, axis=1)
        return new if self.rows is None else np.concatenate([self.rows, new], axis=1)

    def select(self, sentences: Sequence[int], rows: Sequence[int]) -> "DecoderState":
        """Return the state of these sentences and these sequences, which may occur several times."""
        first = self.layers[0]
        keep = None if list(sentences) == list(range(first.cross_k.shape[0])) else mx.array(list(sentences))
        layers = []
        for past, k, v in self.layers:
            moved = past
            if isinstance(past, mx.array) and list(rows) != list(range(past.shape[0])):
                moved = past[mx.array(list(rows))]
            layers.append(LayerState(moved, k if keep is None else k[keep], v if keep is None else v[keep]))
        mask = self.mask if keep is None or self.mask is None else self.mask[keep]
        return replace(self, layers=tuple(layers), mask=mask, rows=None if self.rows is None else self.rows[list(rows)])


def _enlarge(buffer: mx.array | None, new: mx.array, n_used: int, n_needed: int) -> mx.array:
    """Return `buffer` with its first n_used tokens and room for n_needed, in whole steps; `new` gives the shape."""
    batch, heads, _, width = new.shape
    n_free = -(-n_needed // STEP) * STEP - n_used
    free = mx.zeros((batch, heads, n_free, width), new.dtype)
    return free if buffer is None else mx.concatenate([buffer[:, :, :n_used], free], axis=2)
