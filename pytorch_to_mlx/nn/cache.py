"""Keys and values of the tokens that a decoder has seen."""

import mlx.core as mx

STEP = 256  # tokens that the arrays grow by: one growth in 256 copies them


class KVCache:
    """The keys and values of one attention layer; it grows as tokens come.

    Shapes: keys and values [B, H, L, D], appended along L.
    """

    def __init__(self) -> None:
        self.offset = 0
        self._keys: mx.array | None = None
        self._values: mx.array | None = None

    def update(self, keys: mx.array, values: mx.array) -> tuple[mx.array, mx.array]:
        """Append, and give all keys and values so far."""
        start, end = self.offset, self.offset + keys.shape[2]
        if self._keys is None or self._values is None or end > self._keys.shape[2]:
            self._keys = _grown(self._keys, keys, start, end)
            self._values = _grown(self._values, values, start, end)
        self._keys[:, :, start:end] = keys
        self._values[:, :, start:end] = values
        self.offset = end
        return self._keys[:, :, :end], self._values[:, :, :end]

    @property
    def arrays(self) -> tuple[mx.array, ...]:
        """What is to be evaluated with a step, so that no graph grows over the steps."""
        return () if self._keys is None or self._values is None else (self._keys, self._values)


def _grown(held: mx.array | None, new: mx.array, used: int, end: int) -> mx.array:
    batch, heads, _, width = new.shape
    room = -(-end // STEP) * STEP - used
    free = mx.zeros((batch, heads, room, width), new.dtype)
    return free if held is None else mx.concatenate([held[:, :, :used], free], axis=2)
