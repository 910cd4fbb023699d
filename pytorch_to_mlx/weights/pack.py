"""Make a quantized model small in its file: what is not quantized in 16 bits, convolutions and LSTMs packed by rows.

`sizes` runs the same steps on arrays that are never evaluated, so that what it promises is what is written.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_flatten, tree_unflatten

from ..checkpoint.packed_rows import BIASES, BITS, KEY, SCALES, padded
from ..errors import CheckError
from ..units import count_text
from .numbers import cast, is_float
from .quantize import Predicate, Quantized, quantize

# The names of matrices in convolutions and in LSTMs.
_MATRICES = ("weight", "Wx", "Wh")
DtypeOf = Callable[[str, mx.Dtype | None], mx.Dtype | None]


@dataclass
class Packed:
    """What is written of a quantized model.

    weights: by name, as the file holds them. config: what they need of config.json. layers: the quantized ones.
    rows: the weights that are packed in the file only. packed_bytes: of all packed numbers with their scales.
    """

    weights: dict[str, mx.array]
    config: dict[str, Any]
    layers: Quantized
    rows: list[str] = field(default_factory=list)
    packed_bytes: int = 0

    @property
    def nbytes(self) -> int:
        return sum(array.nbytes for array in self.weights.values())


def narrow(
    weights: Mapping[str, mx.array], dtype_of: DtypeOf, *, allow_nonfinite: bool = False, where: Any = None
) -> tuple[dict[str, mx.array], list[str]]:
    """Return the weights with float32 as float16, and the names of those that the family keeps in float32.

    Raises: CheckError naming every weight that float16 cannot hold.
    """
    problems: list[str] = []
    narrowed, kept = {}, []
    for name, array in weights.items():
        dtype = _narrow_dtype(name, array.dtype, dtype_of)
        narrowed[name] = cast(name, array, dtype, problems, allow_nonfinite=allow_nonfinite)
        kept += [name] if dtype == mx.float32 else []
    if problems:
        raise CheckError(
            f"{count_text(len(problems), 'weight does', 'weights do')} not fit into 16 bits",
            where=where,
            fix="use --dtype bfloat16",
            details=problems,
        )
    return narrowed, kept


def _narrow_dtype(name: str, dtype: mx.Dtype, dtype_of: DtypeOf) -> mx.Dtype:
    return dtype if dtype != mx.float32 else dtype_of(name, mx.float16) or dtype


def pack(
    module: nn.Module,
    *,
    bits: int = 8,
    group_size: int = 64,
    predicate: Predicate | None = None,
    activations: bool = False,
    rows: bool = True,
    check: bool = True,
) -> Packed:
    """Quantize a module's layers in place; return what its file then holds. Shapes: a row's weight [O, …].

    rows: pack the matrices of convolutions and LSTMs that are in 16 bits, at 8 bits whatever `bits` is: they lose
    audibly with fewer. activations, check: as `quantize`.
    """
    layers = quantize(
        module, bits=bits, group_size=group_size, predicate=predicate, activations=activations, check=check
    )
    weights: dict[str, mx.array] = dict(tree_flatten(module.parameters()))
    result = Packed(weights, {"quantization": layers.config}, layers)
    parts = {f"{path}.{part}" for path in layers.layers for part in ("weight", "scales", "biases")}
    result.packed_bytes = sum(weights[name].nbytes for name in parts)
    shapes: dict[str, list[int]] = {}
    for name in _rows_of(module, predicate, group_size) if rows else []:
        array = weights[name]
        shapes[name] = list(array.shape)
        matrix = array.reshape(array.shape[0], -1)
        matrix = mx.pad(matrix, [(0, 0), (0, padded(matrix.shape[1], group_size) - matrix.shape[1])])
        packed, scales, biases = mx.quantize(matrix, group_size, BITS)
        weights |= {name: packed, name + SCALES: scales, name + BIASES: biases}
        result.packed_bytes += packed.nbytes + scales.nbytes + biases.nbytes
    if shapes:
        result.config[KEY] = {"bits": BITS, "group_size": group_size, "shapes": shapes}
        result.rows = sorted(shapes)
    return result


def _rows_of(module: nn.Module, predicate: Predicate | None, group_size: int) -> list[str]:
    """Return the names of the matrices to pack by rows."""
    names = []
    for path, layer in module.named_modules():
        if "scales" in layer or hasattr(layer, "to_quantized") or (predicate and predicate(path, layer) is False):
            continue
        for part in _MATRICES:
            array = layer.get(part)
            if isinstance(array, mx.array) and array.ndim > 1 and is_float(array) and array.dtype != mx.float32:
                width = array.size // max(array.shape[0], 1)
                n_bytes = padded(width, group_size) * (1 + 2 * array.itemsize / group_size)
                names += [f"{path}.{part}"] if n_bytes < width * array.itemsize else []
    return names


def sizes(
    build: Callable[[], nn.Module],
    dtypes: Mapping[str, mx.Dtype],
    dtype_of: DtypeOf,
    predicate: Predicate | None = None,
    *,
    group_size: int = 64,
) -> dict[str, int]:
    """Return the bytes of the weights that `convert` writes, by dtype and number of bits; nothing is computed.

    build: makes the module. dtypes: of the weights in the checkpoint; float32 for what is not named. A number of bits
    is left out where no layer can be quantized.
    """

    def cast_to(choose: Callable[[str, mx.Dtype], mx.Dtype]) -> nn.Module:
        module = build()
        flat: dict[str, mx.array] = dict(tree_flatten(module.parameters()))
        stored = {
            name: array.astype(choose(name, dtypes.get(name, array.dtype))) if is_float(array) else array
            for name, array in flat.items()
        }
        module.update(tree_unflatten(list(stored.items())))
        return module

    result = {}
    for name, dtype in (("float32", mx.float32), ("float16", mx.float16), ("bfloat16", mx.bfloat16)):
        module = cast_to(lambda weight, stored, dtype=dtype: dtype_of(weight, dtype) or stored)
        flat: dict[str, mx.array] = dict(tree_flatten(module.parameters()))
        result[name] = sum(array.nbytes for array in flat.values())
    for bits in (8, 4):
        module = cast_to(lambda weight, stored: _narrow_dtype(weight, stored, dtype_of))
        try:
            done = pack(module, bits=bits, group_size=group_size, predicate=predicate, check=False)
        except CheckError:
            continue
        result[f"{bits}-bit"] = done.nbytes
    return result
