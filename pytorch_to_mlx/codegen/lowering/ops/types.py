"""Dtype and shape helpers that lowerings share."""

from typing import Any, TypeGuard

import mlx.core

from ...graph import Unsupported
from ..recorder import Recorded, Size

FLOATS = (mlx.core.float16, mlx.core.bfloat16, mlx.core.float32, mlx.core.float64)


def is_array(x: Any) -> bool:
    """Return whether x is an array, computed or recorded, and not a number or a size."""
    return isinstance(x, mlx.core.array | Recorded) and not isinstance(x, Size)


def is_float(dtype: mlx.core.Dtype) -> bool:
    return dtype in FLOATS


def is_complex(dtype: mlx.core.Dtype) -> bool:
    return dtype == mlx.core.complex64


def to(x: Any, dtype: mlx.core.Dtype) -> Any:
    """Cast x to `dtype`; numbers and arrays that have it already stay as they are."""
    return x.astype(dtype) if is_array(x) and x.dtype != dtype else x


def real_only(*arrays: Any) -> None:
    """Refuse complex inputs where only the real case is written. Raises: Unsupported for one."""
    if any(is_array(x) and is_complex(x.dtype) for x in arrays):
        raise Unsupported("complex input is not implemented")


def numel(shape: tuple) -> Any:
    """Return the number of elements; a Size if a dimension is dynamic."""
    total: Any = 1
    for size in shape:
        total = total * size
    return total


def is_static(size: Any) -> TypeGuard[int]:
    """Return whether a size is a plain number here, not one that only the generated source will know."""
    return isinstance(size, int)


def axis_of(dim: int, ndim: int) -> int:
    """Return a non-negative axis; torch lets an array without axes have axis 0."""
    return dim % max(ndim, 1)


def axes_of(dim: Any, ndim: int) -> list[int]:
    """Return a list of non-negative axes; None and an empty list are all of them."""
    if dim is None or (isinstance(dim, list | tuple) and not dim):
        return list(range(ndim))
    dims = dim if isinstance(dim, list | tuple) else [dim]
    return [axis_of(d, ndim) for d in dims] if ndim else []


def pair(value: Any, count: int) -> tuple:
    """Return a number or a list of one as a tuple of `count` numbers, as torch expands it."""
    values = list(value) if isinstance(value, list | tuple) else [value]
    return tuple(values * count if len(values) == 1 else values)
