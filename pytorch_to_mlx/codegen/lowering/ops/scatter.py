"""Scatter along an axis, with and without a reduction; histograms."""

from typing import Any

from ...graph import Meta, Unsupported
from ..recorder import fn, mx
from .op_table import lowers
from .types import is_complex

REDUCE = {
    "add": "sum",
    "multiply": "prod",
    "sum": "sum",
    "prod": "prod",
    "mean": "mean",
    "amax": "amax",
    "amin": "amin",
}


@lowers("scatter.src", "scatter.value")
def scatter(x, dim, index, src=None, value=None):
    return fn.scatter(x, dim, index, value if src is None else src)


@lowers("scatter.reduce", "scatter.value_reduce")
def scatter_reduce_old(x, dim, index, src=None, value=None, reduce="add"):
    return fn.scatter(x, dim, index, value if src is None else src, REDUCE[reduce])


@lowers("scatter_add.default")
def scatter_add(x, dim, index, src):
    return fn.scatter(x, dim, index, src, "sum")


@lowers("scatter_reduce.two")
def scatter_reduce(x, dim, index, src, reduce, include_self=True):
    if is_complex(x.dtype):
        raise Unsupported("scatter_reduce of complex numbers")
    return fn.scatter(x, dim, index, src, REDUCE[reduce], include_self)


@lowers("index_reduce.default")
def index_reduce(x, dim, index, source, reduce, include_self=True):
    return fn.index_reduce(x, dim, index, source, reduce, include_self)


@lowers("segment_reduce.default")
def segment_reduce(data, reduce, lengths=None, indices=None, offsets: Any = None, axis=0, unsafe=False, initial=None):
    if indices is not None or (lengths is None and offsets is None):
        raise Unsupported("segment_reduce: argument indices is not implemented")
    if lengths is None:
        lengths = offsets[..., 1:] - offsets[..., :-1]
    return fn.segment_reduce(data, reduce, lengths, axis, initial)


@lowers("bincount.default")
def bincount(x, weights=None, minlength=0):
    if weights is not None:
        raise Unsupported("bincount: argument weights is not implemented")
    return fn.bincount(x, minlength)


@lowers("histc.default")
def histc(x, bins=100, min=0, max=0, *, result: Meta):
    return fn.histc(x, bins, min, max).astype(result.dtype)


@lowers("histogram.bin_ct")
def histogram_count(x, bins=100, range=None, weight=None, density=False):
    return tuple(fn.histogramdd(x.reshape([-1, 1]), [bins], range, weight, density, True))


@lowers("histogram.bins_tensor")
def histogram_bins(x, bins, weight=None, density=False):
    return fn.histogram_between(x.reshape([-1, 1]), [bins], weight, density), bins


@lowers("_histogramdd_bin_edges.default")
def histogramdd_edges(x, bins, range=None, weight=None, density=False):
    return fn.histogram_edges(x, list(bins), range)


@lowers("_histogramdd_from_bin_cts.default")
def histogramdd_counts(x, bins, range=None, weight=None, density=False):
    return fn.histogramdd(x, list(bins), range, weight, density, False)


@lowers("_histogramdd_from_bin_tensors.default")
def histogramdd_tensors(x, bins, weight=None, density=False):
    return fn.histogram_between(x, list(bins), weight, density)


@lowers("searchsorted.Tensor", "searchsorted.Scalar")
def searchsorted(sorted_sequence, x, out_int32=False, right=False, side=None, sorter=None):
    if sorter is not None:
        sorted_sequence = mx.take_along_axis(sorted_sequence, sorter, axis=-1)
    return fn.searchsorted(sorted_sequence, x, right or side == "right")


@lowers("bucketize.Tensor", "bucketize.Scalar")
def bucketize(x, boundaries, out_int32=False, right=False):
    return fn.searchsorted(boundaries, x, right)
