"""Dtype and shape helpers that lowerings share."""

from typing import Any

import mlx.core
import mlx.core as _mx

from ...graph import Unsupported
from ..recorder import Recorded, Size

FLOATS = (_mx.float16, _mx.bfloat16, _mx.float32, _mx.float64)
INTS = (_mx.uint8, _mx.uint16, _mx.uint32, _mx.uint64, _mx.int8, _mx.int16, _mx.int32, _mx.int64)


def is_array(x: Any) -> bool:
    return isinstance(x, mlx.core.array | Recorded) and not isinstance(x, Size)


def is_float(dtype: mlx.core.Dtype) -> bool:
    return dtype in FLOATS


def is_complex(dtype: mlx.core.Dtype) -> bool:
    return dtype == _mx.complex64


def to(x: Any, dtype: mlx.core.Dtype) -> Any:
    """x as `dtype`; numbers and arrays that have it already stay as they are."""
    return x.astype(dtype) if is_array(x) and x.dtype != dtype else x


def real_only(*arrays: Any) -> None:
    """Refuse complex inputs where only the real case is written."""
    if any(is_array(x) and is_complex(x.dtype) for x in arrays):
        raise Unsupported("complex input is not implemented")


def numel(shape: tuple) -> Any:
    """Number of elements; a Size if a dimension is dynamic."""
    total: Any = 1
    for size in shape:
        total = total * size
    return total


def known(size: Any) -> bool:
    """Whether a size is a plain number here, not one that only the generated source will know."""
    return isinstance(size, int)


def axis_of(dim: int, ndim: int) -> int:
    """A non-negative axis; a 0-dimensional array has torch's one imaginary axis."""
    return dim % max(ndim, 1)


def axes_of(dim: Any, ndim: int) -> list[int]:
    """A list of non-negative axes; None and an empty list are all of them."""
    if dim is None or (isinstance(dim, list | tuple) and not dim):
        return list(range(ndim))
    dims = dim if isinstance(dim, list | tuple) else [dim]
    return [axis_of(d, ndim) for d in dims] if ndim else []


def pair(value: Any, count: int) -> tuple:
    """A number or a short list as a tuple of `count` numbers, as torch expands it."""
    values = list(value) if isinstance(value, list | tuple) else [value]
    return tuple(values * count if len(values) == 1 else values)
