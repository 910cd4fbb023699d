"""New arrays, and copies with another dtype."""

import math
from typing import Any

from ...graph import Meta, Unsupported
from ..recorder import fn, mx
from .op_table import lowers
from .types import is_array, is_complex, is_static, to


def _filled(size, value, dtype):
    if value == 0 and not math.copysign(1, value.real if isinstance(value, complex) else value) < 0:
        return mx.zeros(size, dtype=dtype)
    if value == 1:
        return mx.ones(size, dtype=dtype)
    if dtype == mx.bool_:
        return mx.ones(size, dtype=dtype)
    return mx.full(size, value, dtype=dtype)


def _fill(size, value, dtype):
    size = list(size)
    if is_array(value):
        return mx.broadcast_to(to(value, dtype), size)
    if not isinstance(value, bool | int | float | complex):  # a number that only the generated source knows
        return mx.full(size, value, dtype=dtype)
    return _filled(size, value, dtype)


@lowers("full.default")
def full(size, fill_value, dtype=None, *, result: Meta):
    return _fill(size, fill_value, result.dtype)


@lowers("full_like.default", "fill.Scalar", "fill.Tensor")
def full_like(x, fill_value=None, value=None, dtype=None, *, result: Meta):
    return _fill(x.shape, value if fill_value is None else fill_value, result.dtype)


@lowers("new_full.default")
def new_full(x, size, fill_value, dtype=None, *, result: Meta):
    return _fill(size, fill_value, result.dtype)


@lowers("zeros.default", "empty.memory_format")
def zeros(size, dtype=None, *, result: Meta):
    return mx.zeros(list(size), dtype=result.dtype)


@lowers("new_zeros.default", "new_empty.default")
def new_zeros(x, size, dtype=None, *, result: Meta):
    return mx.zeros(list(size), dtype=result.dtype)


@lowers("empty_permuted.default")
def empty_permuted(size, physical_layout, dtype=None, *, result: Meta):
    return mx.zeros(list(size), dtype=result.dtype)


@lowers("empty_strided.default")
def empty_strided(size, stride, dtype=None, *, result: Meta):
    return mx.zeros(list(size), dtype=result.dtype)


@lowers("new_empty_strided.default")
def new_empty_strided(x, size, stride, dtype=None, *, result: Meta):
    return mx.zeros(list(size), dtype=result.dtype)


@lowers("zeros_like.default", "zero.default", "empty_like.default")
def zeros_like(x, dtype=None, *, result: Meta):
    return mx.zeros_like(x) if x.dtype == result.dtype else mx.zeros(x.shape, dtype=result.dtype)


@lowers("ones.default")
def ones(size, dtype=None, *, result: Meta):
    return mx.ones(list(size), dtype=result.dtype)


@lowers("new_ones.default")
def new_ones(x, size, dtype=None, *, result: Meta):
    return mx.ones(list(size), dtype=result.dtype)


@lowers("ones_like.default")
def ones_like(x, dtype=None, *, result: Meta):
    return mx.ones_like(x) if x.dtype == result.dtype else mx.ones(x.shape, dtype=result.dtype)


@lowers("scalar_tensor.default")
def scalar_tensor(s, dtype=None, *, result: Meta):
    return mx.array(s, result.dtype)


@lowers("arange.default", "arange.start", "arange.start_step")
def arange(start=0, end=None, step=1, dtype=None, *, result: Meta):
    steps = [item for item in (start, end, step) if isinstance(item, int | float)]
    if any(isinstance(item, float) for item in steps):
        return fn.arange(start, end, step, result.dtype)
    if is_static(step) and step == 1:
        return (
            mx.arange(end, dtype=result.dtype)
            if is_static(start) and start == 0
            else mx.arange(start, end, dtype=result.dtype)
        )
    return mx.arange(start, end, step, dtype=result.dtype)


@lowers("linspace.default", "linspace.Tensor_Tensor", "linspace.Tensor_Scalar", "linspace.Scalar_Tensor")
def linspace(start, end, steps, dtype=None, *, result: Meta):
    return fn.linspace(start, end, steps, result.dtype)


@lowers("logspace.default", "logspace.Tensor_Tensor", "logspace.Tensor_Scalar", "logspace.Scalar_Tensor")
def logspace(start, end, steps, base=10.0, dtype=None, *, result: Meta):
    return fn.logspace(start, end, steps, base, result.dtype)


@lowers("eye.default", "eye.m")
def eye(n, m=None, dtype=None, *, result: Meta):
    return mx.eye(n, dtype=result.dtype) if m is None else mx.eye(n, m, dtype=result.dtype)


@lowers("_to_copy.default", "to.dtype", "to.device", "to.dtype_layout", "to.other", "_assert_tensor_metadata.default")
def to_dtype(x, dtype=None, other=None, *, result):
    if result is None:
        return x
    if is_complex(x.dtype) and not is_complex(result.dtype):
        x = mx.real(x)
    if x.dtype not in (mx.bool_, mx.uint8) and result.dtype == mx.uint8:
        return fn.to_uint8(x)
    return to(x, result.dtype)


@lowers("type_as.default")
def type_as(x, other):
    return to(x, other.dtype)


@lowers(
    "clone.default",
    "contiguous.default",
    "alias.default",
    "alias_copy.default",
    "detach.default",
    "detach_.default",
    "lift_fresh.default",
    "lift_fresh_copy.default",
    "lift.default",
    "resolve_conj.default",
    "resolve_neg.default",
)
def same(x):
    return x


@lowers("copy.default")
def copy(x, src, *, result: Meta):
    return mx.broadcast_to(to(src, result.dtype), list(x.shape))


@lowers("resize.default", "resize_as.default")
def resize(x, size: Any = None, the_template: Any = None):
    shape = list(size if size is not None else the_template.shape)
    if not all(isinstance(n, int) for n in [*shape, *x.shape]):
        raise Unsupported("resize to a dynamic size")
    return fn.resize(x, shape)


@lowers("tril_indices.default")
def tril_indices(row, col, offset=0, dtype=None):
    return fn.triangle_indices(row, col, offset, True)


@lowers("triu_indices.default")
def triu_indices(row, col, offset=0, dtype=None):
    return fn.triangle_indices(row, col, offset, False)
