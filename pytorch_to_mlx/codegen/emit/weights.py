"""The weights of a generated model: made from the original's one at a time, and read from a file when used."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import mlx.core as mx

from ..capture.tensors import Tensor, to_mlx
from ..graph import Meta
from ..paths import mlx_parts
from .layers import Leaf


class Weights(Mapping[str, mx.array]):
    """Arrays in MLX's layout under the names of the generated source, each made when it is asked for.

    renamed: original names that had to change.
    """

    def __init__(self, weights: Mapping[str, tuple[Tensor, Meta]], found: Mapping[str, Leaf]) -> None:
        self.renamed: dict[str, str] = {}
        self._made: dict[str, Callable[[], mx.array]] = {}
        for path, leaf in found.items():
            if leaf.replaced:
                prefix = ".".join(mlx_parts(path))
                for name, array in leaf.replaced.weights.items():
                    self._made[f"{prefix}.{name}"] = lambda array=array: array
        for name, (tensor, _) in weights.items():
            owner, _, last = name.rpartition(".")
            order = found[owner].layouts.get(last) if owner in found else None
            safe = ".".join(mlx_parts(name))
            self._made[safe] = lambda tensor=tensor, order=order: _array(tensor, order)
            if safe != name:
                self.renamed[name] = safe

    def __getitem__(self, name: str) -> mx.array:
        return self._made[name]()

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._made))

    def __len__(self) -> int:
        return len(self._made)


def _array(tensor: Tensor, order: Any) -> mx.array:
    array = to_mlx(tensor)
    return mx.contiguous(array.transpose(*order)) if order else array


def reload(model: Any, folder: Path) -> None:
    """Give a generated model the weights of its folder anew: not read yet, so that what was read can be freed."""
    stored: dict[str, mx.array] = {}
    for file in sorted(folder.glob("model*.safetensors")):
        stored |= mx.load(str(file))  # type: ignore[arg-type]
    model.load_weights(list(stored.items()))
