"""Join pieces of audio with a linear cross-fade, piece by piece."""

import numpy as np


class CrossFade:
    """Join pieces that overlap by `length` samples, or by what the shorter of two neighbours has."""

    def __init__(self, length: int) -> None:
        self._length = length
        self._held = np.zeros(0, np.float32)  # the end of what was joined, which may still be faded

    def feed(self, piece: np.ndarray, *, is_last: bool) -> np.ndarray:
        """Return what is certain after one more piece: all of it if it is the last. Shapes: [L] -> float32 [L']."""
        overlap = min(self._length, len(self._held), len(piece))
        joined = np.concatenate([self._held, piece[overlap:]]) if overlap else np.concatenate([self._held, piece])
        if overlap:
            fade_out, fade_in = np.linspace(1, 0, overlap), np.linspace(0, 1, overlap)
            faded = self._held[-overlap:] * fade_out + piece[:overlap] * fade_in
            joined = np.concatenate([self._held[:-overlap], faded, piece[overlap:]])  # float64 while it is joined
        n_certain = len(joined) if is_last else max(0, len(joined) - self._length)
        self._held = joined[n_certain:]
        return joined[:n_certain].astype(np.float32)
