"""Matrix products."""

from ...graph import Meta
from ..recorder import fn, let, mx, to_value
from .op_table import lowers
from .types import is_float, to


def _product(x, y):
    """Write x @ y; MLX multiplies matrices of floats only."""
    if is_float(x.dtype):
        return x @ y
    return fn.exact_matmul(x, y)


@lowers("linear.default")
def linear(x, weight, bias=None):
    product = _product(x, weight.T if weight.ndim == 2 else weight)
    return product if bias is None else product + bias


@lowers("matmul.default", "mm.default", "bmm.default", "mv.default", "dot.default")
def matmul(x, other=None, mat2=None, vec=None, tensor=None):
    right = next(item for item in (other, mat2, vec, tensor) if item is not None)
    return _product(x, right)


@lowers("vdot.default")
def vdot(x, other):
    return mx.sum(mx.conj(x) * other)


@lowers("linalg_vecdot.default")
def vecdot(x, y, dim=-1):
    return mx.sum(x * y, axis=dim)


def _scaled_sum(x, product, beta, alpha, result: Meta):
    product = product if alpha == 1 else product * alpha
    if beta == 0:
        return mx.broadcast_to(product, result.shape)
    return (x if beta == 1 else x * beta) + product


@lowers("addmm.default", "addmv.default", "baddbmm.default")
def addmm(x, mat1=None, mat2=None, mat=None, vec=None, batch1=None, batch2=None, beta=1, alpha=1, *, result: Meta):
    left = next(item for item in (mat1, mat, batch1) if item is not None)
    right = next(item for item in (mat2, vec, batch2) if item is not None)
    return _scaled_sum(x, _product(left, right), beta, alpha, result)


@lowers("addbmm.default")
def addbmm(x, batch1, batch2, beta=1, alpha=1, *, result: Meta):
    return _scaled_sum(x, mx.sum(_product(batch1, batch2), axis=0), beta, alpha, result)


@lowers("addr.default")
def addr(x, vec1, vec2, beta=1, alpha=1, *, result: Meta):
    return _scaled_sum(x, mx.outer(vec1, vec2), beta, alpha, result)


@lowers("outer.default", "ger.default")
def outer(x, vec2):
    return mx.expand_dims(x, -1) * vec2


@lowers("einsum.default")
def einsum(equation, tensors, path=None):
    return mx.einsum(equation.replace(" ", ""), *tensors)


@lowers("tensordot.default")
def tensordot(x, other, dims_self, dims_other):
    return mx.tensordot(x, other, axes=[list(dims_self), list(dims_other)])


@lowers("_trilinear.default")
def trilinear(i1, i2, i3, expand1, expand2, expand3, sumdim, unroll_dim=1):
    factors = []
    for factor, axes in ((i1, expand1), (i2, expand2), (i3, expand3)):
        for axis in axes:
            factor = mx.expand_dims(factor, axis)
        factors.append(factor)
    product = factors[0] * factors[1] * factors[2]
    return mx.sum(product, axis=tuple(sumdim)) if sumdim else product


@lowers("bilinear.default")
def bilinear(input1, input2, weight, bias=None):
    product = mx.einsum("...i,oij,...j->...o", input1, weight, input2)
    return product if bias is None else product + bias


@lowers("kron.default")
def kron(x, other):
    return mx.kron(x, other)


@lowers("linalg_cross.default")
def linalg_cross(x, other, dim=-1, *, result: Meta):
    return fn.cross(*mx.broadcast_arrays(to(x, result.dtype), to(other, result.dtype)), dim)


@lowers("cross.default")
def cross(x, other, dim=None, *, result: Meta):
    dim = to_value(x.shape).index(3) if dim is None else dim  # the example's first axis of length 3
    return fn.cross(*mx.broadcast_arrays(to(x, result.dtype), to(other, result.dtype)), dim)


@lowers("_weight_norm.default", "_weight_norm_interface.default")
def weight_norm(v, g, dim=0, *, result):
    axes = tuple(a for a in range(v.ndim) if a != dim or dim == -1)  # -1: one length for the whole of v
    size = let("size", mx.sqrt(mx.sum(mx.square(v), axis=axes, keepdims=True)))
    scaled = v * (g / size)
    return (scaled, size) if isinstance(result, list | tuple) else scaled


@lowers("cosine_similarity.default")
def cosine_similarity(x1, x2, dim=1, eps=1e-8):
    x1, x2 = let("x", x1), let("y", x2)
    norms = [mx.maximum(mx.sqrt(mx.sum(mx.square(x), axis=dim, keepdims=True)), eps) for x in (x1, x2)]
    return mx.sum((x1 / norms[0]) * (x2 / norms[1]), axis=dim)


@lowers("_grouped_mm.default")
def grouped_mm(x, mat2, offs=None, bias=None, out_dtype=None):
    return fn.grouped_matmul(x, mat2, offs)


@lowers("transformers.grouped_mm_fallback.default")
def grouped_mm_fallback(x, weight, offs):
    return fn.grouped_matmul(x, weight, offs)
