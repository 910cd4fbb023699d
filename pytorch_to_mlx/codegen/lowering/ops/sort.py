"""Sorting, order statistics, distinct values."""

import math

from ..recorder import fn, let, mx
from .op_table import lowers


@lowers("msort.default")
def msort(x):
    return fn.sort(x, 0, False)[0]


@lowers("sort.default", "sort.stable")
def sort(x, dim=-1, descending=False, stable=None):
    return fn.sort(x, dim, descending)


@lowers("argsort.default", "argsort.stable")
def argsort(x, dim=-1, descending=False, stable=None):
    return fn.argsort(x, dim, descending)


@lowers("topk.default")
def topk(x, k, dim=-1, largest=True, sorted=True):
    return fn.topk(x, k, dim, largest)


@lowers("kthvalue.default")
def kthvalue(x, k, dim=-1, keepdim=False):
    return fn.kthvalue(x, k, dim, keepdim)


@lowers("median.dim")
def median(x, dim, keepdim=False):
    return fn.median(x, dim, keepdim, False)


@lowers("nanmedian.dim")
def nanmedian(x, dim, keepdim=False):
    return fn.median(x, dim, keepdim, True)


@lowers("median.default")
def median_all(x):
    return fn.median(x.flatten(), 0, False, False)[0] if x.ndim else x


@lowers("nanmedian.default")
def nanmedian_all(x):
    return fn.median(x.flatten(), 0, False, True)[0] if x.ndim else x


@lowers("mode.default")
def mode(x, dim=-1, keepdim=False):
    return fn.mode(x, dim, keepdim)


@lowers("isin.Tensor_Tensor", "isin.Tensor_Scalar", "isin.Scalar_Tensor")
def isin(elements=None, test_elements=None, element=None, test_element=None, assume_unique=False, invert=False):
    elements = mx.array(element) if elements is None else elements
    test_elements = mx.array(test_element) if test_elements is None else test_elements
    return fn.isin(elements, test_elements, invert)


@lowers("_unique2.default")
def unique(x, sorted=True, return_inverse=False, return_counts=False):
    return _requested(fn.unique(x, None, False), return_inverse, return_counts)


@lowers("unique_dim.default")
def unique_dim(x, dim, sorted=True, return_inverse=False, return_counts=False):
    return _requested(fn.unique(x, dim, False), return_inverse, return_counts)


@lowers("unique_consecutive.default", "unique_dim_consecutive.default")
def unique_consecutive(x, return_inverse=False, return_counts=False, dim=None):
    return _requested(fn.unique(x, dim, True), return_inverse, return_counts)


def _requested(parts, inverse: bool, counts: bool):
    """Empty the outputs that were not asked for, as torch does."""
    values, places, numbers = parts
    empty = mx.zeros([0], dtype=mx.int64)
    return values, places if inverse else empty, numbers if counts else empty


@lowers("cdist.default", "_cdist_forward.default", "_euclidean_dist.default")
def cdist(x1, x2, p=2.0, compute_mode=None):
    difference = let("difference", mx.abs(mx.expand_dims(x1, -2) - mx.expand_dims(x2, -3)))
    if p == 0:
        return mx.sum((difference != 0).astype(x1.dtype), axis=-1)
    if math.isinf(p):
        return mx.max(difference, axis=-1)
    if p == 1:
        return mx.sum(difference, axis=-1)
    if p == 2:
        return mx.sqrt(mx.sum(mx.square(difference), axis=-1))
    return mx.power(mx.sum(mx.power(difference, float(p)), axis=-1), 1 / p)


@lowers("_pdist_forward.default", "pdist.default")
def pdist(x, p=2.0):
    return fn.upper_pairs(cdist(x, x, p))
