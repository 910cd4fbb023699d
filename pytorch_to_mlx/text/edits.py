"""The edit distance of two texts, or of any two sequences."""

from collections.abc import Hashable, Sequence

import numpy as np


def prefix_distances(a: Sequence[Hashable], b: Sequence[Hashable]) -> np.ndarray:
    """Return the edit distance of `a` from each prefix of `b`. Shapes: -> [len(b) + 1].

    Source: Wagner & Fischer 1974, "The String-to-String Correction Problem", a row at a time.
    """
    numbers: dict[Hashable, int] = {}
    own = [numbers.setdefault(item, len(numbers)) for item in a]
    target = np.array([numbers.setdefault(item, len(numbers)) for item in b], int)
    steps = np.arange(len(target) + 1)
    row = steps.copy()
    for i, item in enumerate(own, 1):
        best = np.minimum(row[1:] + 1, row[:-1] + (target != item))
        row = np.minimum.accumulate(np.concatenate([[i], best]) - steps) + steps  # insertions, along the row
    return row


def edit_distance(a: Sequence[Hashable], b: Sequence[Hashable]) -> int:
    """Return the least number of insertions, deletions and substitutions that turn `a` into `b`."""
    return int(prefix_distances(a, b)[-1])
