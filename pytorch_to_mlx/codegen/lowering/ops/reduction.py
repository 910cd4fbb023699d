"""Sums, means, extremes, norms and running sums along axes."""

import math

from ...graph import Meta, Unsupported
from ..recorder import fn, let, mx
from .op_table import lowers
from .types import axes_of, axis_of, is_complex, is_float, is_static, to


def _reduce(name: str, x, dim, keepdim: bool):
    """Reduce by mx.<name> over torch's dim argument."""
    function = getattr(mx, name)
    if x.ndim == 0:
        return function(x)
    axes = axes_of(dim, x.ndim)
    if len(axes) == x.ndim and not keepdim:
        return function(x)
    axis = (dim if isinstance(dim, int) else axes[0] if len(axes) == 1 else tuple(axes)) if axes else None
    return function(x, axis=axis, keepdims=True) if keepdim else function(x, axis=axis)


@lowers("sum.default", "sum.dim_IntList")
def sum_(x, dim=None, keepdim=False, dtype=None, *, result: Meta):
    return _reduce("sum", to(x, result.dtype), dim, keepdim)


@lowers("nansum.default")
def nansum(x, dim=None, keepdim=False, dtype=None, *, result: Meta):
    x = let("x", to(x, result.dtype))
    return _reduce("sum", mx.where(mx.isnan(x), 0, x), dim, keepdim)


@lowers("mean.default", "mean.dim")
def mean(x, dim=None, keepdim=False, dtype=None, *, result: Meta):
    return _reduce("mean", to(x, result.dtype), dim, keepdim)


@lowers("prod.default", "prod.dim_int")
def prod(x, dim=None, keepdim=False, dtype=None, *, result: Meta):
    x = to(x, result.dtype)
    return fn.complex_prod(x, dim, keepdim) if is_complex(result.dtype) else _reduce("prod", x, dim, keepdim)


@lowers("amax.default")
def amax(x, dim=None, keepdim=False):
    return _reduce("max", x, dim, keepdim)


@lowers("amin.default")
def amin(x, dim=None, keepdim=False):
    return _reduce("min", x, dim, keepdim)


@lowers("max.default")
def max_all(x):
    return mx.max(x)


@lowers("min.default")
def min_all(x):
    return mx.min(x)


@lowers("max.dim")
def max_dim(x, dim, keepdim=False):
    x = let("x", x)
    return _reduce("max", x, dim, keepdim), _index(fn.argmax, x, dim, keepdim)


@lowers("min.dim")
def min_dim(x, dim, keepdim=False):
    x = let("x", x)
    return _reduce("min", x, dim, keepdim), _index(fn.argmin, x, dim, keepdim)


@lowers("aminmax.default")
def aminmax(x, dim=None, keepdim=False):
    x = let("x", x)
    return _reduce("min", x, dim, keepdim), _reduce("max", x, dim, keepdim)


@lowers("argmax.default")
def argmax(x, dim=None, keepdim=False):
    return _index(fn.argmax, x, dim, keepdim)


@lowers("argmin.default")
def argmin(x, dim=None, keepdim=False):
    return _index(fn.argmin, x, dim, keepdim)


def _index(function, x, dim, keepdim):
    if x.ndim == 0:
        return mx.array(0, mx.int64)
    return function(x, dim, keepdim)


@lowers("any.default", "any.dim", "any.dims")
def any_(x, dim=None, keepdim=False):
    return _reduce("any", _truth(x), dim, keepdim)


@lowers("all.default", "all.dim", "all.dims", "_is_all_true.default")
def all_(x, dim=None, keepdim=False):
    return _reduce("all", _truth(x), dim, keepdim)


def _truth(x):
    return x if x.dtype == mx.bool_ else x != 0


@lowers("count_nonzero.default", "count_nonzero.dim_IntList")
def count_nonzero(x, dim=None):
    return _reduce("sum", _truth(x).astype(mx.int64), dim, False)


@lowers("logsumexp.default", "special_logsumexp.default")
def logsumexp(x, dim, keepdim=False, *, result: Meta):
    x = to(x, result.dtype)
    return fn.complex_logsumexp(x, dim, keepdim) if is_complex(result.dtype) else _reduce("logsumexp", x, dim, keepdim)


def _moments(x, dim, correction, keepdim):
    """Return mean and variance; a variance of complex numbers adds those of the two parts."""
    axes = axes_of(dim, x.ndim)
    count = math.prod(x.shape[a] for a in axes) if all(is_static(x.shape[a]) for a in axes) else None
    correction = 1 if correction is None else correction
    if count is None or (isinstance(correction, int) and 0 < correction < count and not is_complex(x.dtype)):
        axis = (axes[0] if len(axes) == 1 else tuple(axes)) if len(axes) < x.ndim or keepdim else None
        keep = {"keepdims": True} if keepdim else {}
        where = {} if axis is None else {"axis": axis}
        if count is None and (is_complex(x.dtype) or not isinstance(correction, int)):
            raise Unsupported("variance over a dynamic size with a fractional correction or complex numbers")
        mean = mx.mean(x, **where, **keep)
        return mean, mx.var(x, **where, **keep, ddof=correction)
    return tuple(fn.moments(x, axes, correction, keepdim))


@lowers("var.correction", "var.default", "var.dim")
def var(x, dim=None, correction=None, keepdim=False, unbiased=None):
    return _moments(x, dim, _correction(correction, unbiased), keepdim)[1]


@lowers("std.correction", "std.default", "std.dim")
def std(x, dim=None, correction=None, keepdim=False, unbiased=None):
    return mx.sqrt(_moments(x, dim, _correction(correction, unbiased), keepdim)[1])


@lowers("var_mean.correction")
def var_mean(x, dim=None, correction=None, keepdim=False):
    mean, variance = _moments(let("x", x), dim, correction, keepdim)
    return variance, mean


@lowers("std_mean.correction")
def std_mean(x, dim=None, correction=None, keepdim=False):
    mean, variance = _moments(let("x", x), dim, correction, keepdim)
    return mx.sqrt(variance), mean


def _correction(correction, unbiased):
    return correction if unbiased is None else int(unbiased)


@lowers("linalg_vector_norm.default")
def vector_norm(x, ord=2, dim=None, keepdim=False, dtype=None, *, result: Meta):
    if dtype is not None and not is_complex(x.dtype):
        x = to(x, dtype)
    size = let("size", mx.abs(x)) if ord not in (2,) or is_complex(x.dtype) else None
    if ord == 2:
        squares = mx.square(size if size is not None else x)
        return mx.sqrt(_reduce("sum", squares, dim, keepdim))
    if ord == 1:
        return _reduce("sum", size, dim, keepdim)
    if math.isinf(ord):
        return _reduce("max" if ord > 0 else "min", size, dim, keepdim)
    if ord == 0:
        return _reduce("sum", (size != 0).astype(result.dtype), dim, keepdim)
    return mx.power(_reduce("sum", mx.power(size, float(ord)), dim, keepdim), 1 / ord)


@lowers("norm.ScalarOpt_dim", "norm.Scalar", "norm.ScalarOpt_dtype", "norm.ScalarOpt_dim_dtype")
def norm(x, p=2, dim=None, keepdim=False, dtype=None, *, result: Meta):
    return vector_norm(x, 2 if p is None else p, dim, keepdim, dtype, result=result)


@lowers("dist.default")
def dist(x, other, p=2, *, result: Meta):
    return vector_norm(x - other, p, result=result)


def _along(name: str, x, dim):
    return getattr(mx, name)(x, axis=dim) if x.ndim else x


def _accumulate(name: str, x, dim):
    """Return running sums or products, of floats in float64 as torch's."""
    return getattr(fn, name)(x, dim) if is_float(x.dtype) and x.ndim else _along(name, x, dim)


@lowers("cumsum.default")
def cumsum(x, dim, dtype=None, *, result: Meta):
    return _accumulate("cumsum", to(x, result.dtype), dim)


@lowers("cumprod.default")
def cumprod(x, dim, dtype=None, *, result: Meta):
    return _accumulate("cumprod", to(x, result.dtype), dim)


@lowers("logcumsumexp.default")
def logcumsumexp(x, dim):
    if is_complex(x.dtype):
        raise Unsupported("logcumsumexp of complex numbers")
    return _along("logcumsumexp", x, dim)


@lowers("cummax.default")
def cummax(x, dim):
    return tuple(fn.cumulative_extreme(x, dim, True)) if x.ndim else (x, mx.array(0, mx.int64))


@lowers("cummin.default")
def cummin(x, dim):
    return tuple(fn.cumulative_extreme(x, dim, False)) if x.ndim else (x, mx.array(0, mx.int64))


@lowers("trace.default")
def trace(x, result: Meta):
    return mx.sum(mx.diagonal(x).astype(result.dtype))


@lowers("renorm.default")
def renorm(x, p, dim, maxnorm):
    if not is_float(x.dtype):
        raise Unsupported(f"renorm of {x.dtype}")
    x = let("x", x)
    axes = [a for a in range(x.ndim) if a != axis_of(dim, x.ndim)]
    size = let("size", vector_norm(x, p, axes, True, result=Meta((), "float32")))
    return mx.where(size > maxnorm, x * (maxnorm / (size + 1e-7)), x)


@lowers("hash_tensor.default")
def hash_tensor(x, dim=(), keepdim=False, mode=0):
    if mode:
        raise Unsupported(f"hash_tensor: argument mode={mode} is not implemented")
    return fn.xor_bits(x, axes_of(dim, x.ndim), keepdim)


@lowers("equal.default")
def equal(x, other):
    return mx.array_equal(x, other).item()


@lowers("allclose.default")
def allclose(x, other, rtol=1e-5, atol=1e-8, equal_nan=False):
    return mx.allclose(x, other, rtol, atol, equal_nan=equal_nan).item()


@lowers("_local_scalar_dense.default", "item.default")
def item(x):
    return x.item()
