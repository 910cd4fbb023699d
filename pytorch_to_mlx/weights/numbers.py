"""Values of weights: what is not finite, and what a narrower dtype cannot hold."""

from collections.abc import Mapping
from pathlib import Path

import mlx.core as mx
import numpy as np

from ..errors import CheckError

FLOATS = {"float32": mx.float32, "float16": mx.float16, "bfloat16": mx.bfloat16}
_ALL_ONES = {"float16": np.uint16(0x7C00), "bfloat16": np.uint16(0x7F80)}


def dtype_name(dtype: mx.Dtype) -> str:
    return str(dtype).removeprefix("mlx.core.")


def is_float(array: mx.array) -> bool:
    return mx.issubdtype(array.dtype, mx.floating)


def nonfinite(array: mx.array) -> int:
    """How many values are NaN or Inf. In numpy, which looks at them 30 times faster than MLX's CPU backend."""
    if not is_float(array) or array.size == 0:
        return 0
    exponent = _ALL_ONES.get(dtype_name(array.dtype))
    if exponent is not None:  # NaN and Inf are what has an exponent of ones
        bits = np.array(array.view(mx.uint16), copy=False) & exponent
        return 0 if bits.max() != exponent else int(np.count_nonzero(bits == exponent))
    finite = np.isfinite(_floats(array))
    return 0 if finite.all() else int(finite.size - np.count_nonzero(finite))


def cast(
    name: str, array: mx.array, dtype: mx.Dtype | None, problems: list[str], *, allow_nonfinite: bool = False
) -> mx.array:
    """A weight in `dtype`, evaluated; a line in `problems` for NaN and Inf, in it or made by `dtype`.

    Integers stay as they are. dtype None: floats stay, but for float64, which narrows to float32 (only the CPU
    backend has it).
    """
    before = nonfinite(array)
    if before and not allow_nonfinite:
        problems.append(f"{name} {list(array.shape)} holds {before} NaN or Inf")
    if not is_float(array):
        made = array
    else:
        wanted = dtype or (mx.float32 if array.dtype == mx.float64 else array.dtype)
        made = array.astype(wanted, stream=mx.cpu) if array.dtype == mx.float64 else array.astype(wanted)
    lost = nonfinite(made) - before if made.dtype != array.dtype else 0
    if lost and not allow_nonfinite:
        values = _floats(array)
        largest = float(np.abs(values[np.isfinite(values)]).max())
        problems.append(
            f"{name} {list(array.shape)}: {lost} values do not fit into {dtype_name(made.dtype)} (largest {largest:g})"
        )
    mx.eval(made)
    return made


def _floats(array: mx.array) -> np.ndarray:
    """The same numbers in numpy, which does not know bfloat16."""
    return np.array(array.astype(mx.float32) if array.dtype == mx.bfloat16 else array, copy=False)


def check_finite(weights: Mapping[str, mx.array], *, where: str | Path | None = None) -> None:
    """Raises: CheckError naming every weight that holds NaN or Inf, with how many."""
    bad = [f"{name}: {count} of {weights[name].size}" for name in weights if (count := nonfinite(weights[name]))]
    if bad:
        raise CheckError(
            f"{len(bad)} weights hold NaN or Inf",
            where=where,
            fix="pass --allow-nonfinite if you know why",
            details=bad,
        )
