"""Reading and replacing parts of an array by index, slice and mask."""

from ...graph import Meta, Unsupported
from ..recorder import fn, let, mx
from .op_table import lowers
from .types import axis_of, is_static, to

END = 2**63 - 1


def _at(axis: int, item):
    """Return the index that applies `item` to one axis."""
    return (*([slice(None)] * axis), item) if axis else item


@lowers("select.int", "select_copy.int")
def select(x, dim, index):
    return x[_at(axis_of(dim, x.ndim), index)]


def _range(x, dim, start, end, step):
    """Return the shortest slice for torch's start, end and step."""
    size = x.shape[dim]
    start = None if start is None or (is_static(start) and start == 0) else start
    if end is None or (is_static(end) and (end >= END or (is_static(size) and end >= size))):
        end = None
    if is_static(start) and is_static(size):
        start = max(start, -size) or None
    return slice(start, end, None if step == 1 else step)


@lowers("slice.Tensor", "slice_copy.Tensor")
def slice_(x, dim=0, start=None, end=None, step=1):
    axis = axis_of(dim, x.ndim)
    part = _range(x, axis, start, end, step)
    whole = part.start is None and part.stop is None and part.step is None
    return x if whole else x[_at(axis, part)]


@lowers("narrow.default", "narrow_copy.default")
def narrow(x, dim, start, length):
    return slice_(x, dim, start, start + length)


@lowers("slice_scatter.default")
def slice_scatter(x, src, dim=0, start=None, end=None, step=1):
    axis = axis_of(dim, x.ndim)
    part = _range(x, axis, start, end, step)
    return fn.put_slice(x, src, axis, part.start, part.stop, part.step)


@lowers("select_scatter.default")
def select_scatter(x, src, dim, index):
    return fn.put_at(x, src, axis_of(dim, x.ndim), index)


@lowers("diagonal_scatter.default")
def diagonal_scatter(x, src, offset=0, dim1=0, dim2=1):
    return fn.diagonal_scatter(x, src, offset, dim1, dim2)


@lowers("as_strided_scatter.default")
def as_strided_scatter(x, src, size, stride, storage_offset=None):
    return fn.as_strided_scatter(x, src, list(size), list(stride), storage_offset or 0)


@lowers("index_select.default")
def index_select(x, dim, index):
    if not x.ndim:
        return x
    return mx.take(x, index if index.ndim else index.reshape([1]), axis=dim)


@lowers("gather.default")
def gather(x, dim, index):
    if not x.ndim:
        return mx.broadcast_to(x, index.shape)
    if any(is_static(size) and size == 0 for size in index.shape):
        return mx.zeros(index.shape, dtype=x.dtype)
    if not index.ndim:
        return mx.take(x, index)
    axis = axis_of(dim, x.ndim)
    around = [slice(0, index.shape[a]) if a != axis else slice(None) for a in range(x.ndim)]
    if any(_differs(x.shape[a], index.shape[a]) for a in range(x.ndim) if a != axis):
        x = x[tuple(around)]
    return mx.take_along_axis(x, index, axis=dim)


def _differs(a, b) -> bool:
    """Return whether two sizes may differ."""
    if is_static(a) and is_static(b):
        return a != b
    return is_static(a) or is_static(b) or getattr(a, "expr", 0) != getattr(b, "expr", 1)


@lowers("take_along_dim.default")
def take_along_dim(x, indices, dim=None):
    return mx.take_along_axis(x, indices, axis=dim)


@lowers("take.default")
def take(x, index):
    return mx.take(x.flatten() if x.ndim != 1 else x, index)


@lowers("embedding.default")
def embedding(weight, indices, padding_idx=-1, scale_grad_by_freq=False, sparse=False):
    return weight[indices]


@lowers("embedding_renorm.default")
def embedding_renorm(x, indices, max_norm, norm_type):
    return fn.embedding_renorm(x, indices, max_norm, norm_type)


@lowers("index.Tensor", "_unsafe_index.Tensor")
def index(x, indices):
    if any(item is not None and item.dtype in (mx.bool_, mx.uint8) for item in indices):
        return fn.index_by_mask(x, list(indices))
    used = [i for i, item in enumerate(indices) if item is not None]
    items = tuple(slice(None) if item is None else item for item in indices)
    if not x.ndim:
        return x
    if used == list(range(used[0], used[-1] + 1)) and used[0] == 0:
        return x[items[0] if len(items) == 1 else items]
    return fn.take_at(x, list(indices))


@lowers("index_put.default", "_unsafe_index_put.default", "_index_put_impl.default")
def index_put(x, indices, values, accumulate=False, unsafe=False, *, result: Meta):
    return fn.index_put(x, list(indices), to(values, result.dtype), accumulate)


@lowers("_unsafe_masked_index.default")
def masked_index(x, mask, indices, fill):
    return fn.masked_index(x, mask, list(indices), fill)


@lowers("_unsafe_masked_index_put_accumulate.default")
def masked_index_put(x, mask, indices, values):
    return fn.masked_index_put(x, mask, list(indices), values)


@lowers("masked_select.default")
def masked_select(x, mask):
    return fn.masked_select(x, mask)


@lowers("masked_scatter.default")
def masked_scatter(x, mask, source):
    return fn.masked_scatter(x, mask, source)


@lowers("nonzero.default")
def nonzero(x):
    return fn.nonzero(x)


@lowers("nonzero_numpy.default")
def nonzero_numpy(x, *, result):
    places = let("places", fn.nonzero(x))
    return [places[:, i] for i in range(len(result))]


@lowers("argwhere.default")
def argwhere(x):
    return fn.nonzero(x)


@lowers("nonzero_static.default")
def nonzero_static(x, size, fill_value=-1):
    return fn.nonzero_static(x, size, fill_value)


@lowers("index_fill.int_Scalar", "index_fill.int_Tensor")
def index_fill(x, dim, index, value, *, result: Meta):
    return fn.index_fill(x, dim, index, to(value, result.dtype))


@lowers("index_copy.default")
def index_copy(x, dim, index, source):
    return fn.index_copy(x, dim, index, source)


@lowers("index_add.default")
def index_add(x, dim, index, source, alpha=1):
    return fn.index_add(x, dim, index, source if alpha == 1 else source * alpha)


@lowers("put.default")
def put(x, index, source, accumulate=False):
    return fn.put_flat(x, index, source, accumulate)


@lowers("one_hot.default")
def one_hot(x, num_classes=-1):
    if not is_static(num_classes) or num_classes < 0:
        raise Unsupported("one_hot: argument num_classes=-1 depends on the data")
    return (mx.expand_dims(x, -1) == mx.arange(num_classes)).astype(mx.int64)


@lowers(
    "embedding_bag.default",
    "_embedding_bag.default",
    "_embedding_bag_forward_only.default",
    "embedding_bag.padding_idx",
)
def embedding_bag(
    weight, indices, offsets, scale_grad_by_freq=False, mode=0, sparse=False, per_sample_weights=None,
    include_last_offset=False, padding_idx=-1,
):  # fmt: skip
    pooled = fn.embedding_bag(
        weight,
        indices,
        offsets,
        mode,
        per_sample_weights,
        include_last_offset,
        -1 if padding_idx is None else padding_idx,
    )
    return pooled, None, None, None  # the others are for a gradient
