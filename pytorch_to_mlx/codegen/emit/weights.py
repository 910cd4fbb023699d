"""The weights of a generated model: converted from the original's one at a time, and read from a file when used."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import mlx.core as mx

from ..capture.tensors import Tensor, to_mlx
from ..graph import Meta
from ..paths import mlx_parts, submodule
from .layers import Layer


class Weights(Mapping[str, mx.array]):
    """Arrays in MLX's layout under the names of the generated source, each converted when it is asked for.

    renamed: original names that had to change -> their names here.
    """

    def __init__(self, weights: Mapping[str, tuple[Tensor, Meta]], layers: Mapping[str, Layer]) -> None:
        self.renamed: dict[str, str] = {}
        self._arrays: dict[str, Callable[[], mx.array]] = {}
        for path, layer in layers.items():
            if layer.user_module is not None:
                prefix = ".".join(mlx_parts(path))
                for name, array in layer.user_module.weights.items():
                    self._arrays[f"{prefix}.{name}"] = lambda array=array: array
        for name, (tensor, _) in weights.items():
            owner, _, last = name.rpartition(".")
            order = layers[owner].layouts.get(last) if owner in layers else None
            safe = ".".join(mlx_parts(name))
            self._arrays[safe] = lambda tensor=tensor, order=order: _convert(tensor, order)
            if safe != name:
                self.renamed[name] = safe

    def __getitem__(self, name: str) -> mx.array:
        return self._arrays[name]()

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._arrays))

    def __len__(self) -> int:
        return len(self._arrays)


def _convert(tensor: Tensor, order: tuple[int, ...] | None) -> mx.array:
    array = to_mlx(tensor)
    return mx.contiguous(array.transpose(*order)) if order else array


def reload(model: Any, folder: Path, path: str = "") -> None:
    """Load the weights of a generated model, or of the submodule at `path`, from the folder again.

    They are lazy ones, so that those in memory are freed.
    """
    part, prefix = model, ""
    if path:
        part, prefix = submodule(model, path), f"{'.'.join(mlx_parts(path))}."
    stored: dict[str, mx.array] = {}
    for file in sorted(folder.glob("model*.safetensors")):
        stored |= mx.load(str(file))  # type: ignore[arg-type]
    weights = [(name.removeprefix(prefix), array) for name, array in stored.items() if name.startswith(prefix)]
    part.load_weights(weights, strict=not path)  # what it shares with others is stored under one of the names
