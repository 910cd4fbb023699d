"""How the tests compare folders and weights."""

from pathlib import Path

import mlx.core as mx

CONFIG = {"model_type": "toy", "voice": "ü"}


def same(one, other):
    """Return whether two dicts of arrays agree in names, dtypes, shapes and values."""
    return one.keys() == other.keys() and all(
        one[k].dtype == other[k].dtype and one[k].shape == other[k].shape and mx.array_equal(one[k], other[k])
        for k in one
    )


def names(path: Path) -> list[str]:
    """Return the relative path of everything below `path`, sorted."""
    return sorted(str(p.relative_to(path)) for p in path.rglob("*"))
