"""Linear algebra: factorisations, solving, spectra. Real matrices only; MLX has no complex factorisations."""

from typing import Any

from ...graph import Unsupported
from ..recorder import fn, mx
from .op_table import lowers
from .types import real_only


def _info(x):
    """Return LAPACK's report of success, one 0 per matrix."""
    return mx.zeros(list(x.shape[:-2]), dtype=mx.int32)


@lowers("cholesky.default")
def cholesky(x, upper=False):
    real_only(x)
    return fn.cholesky(x, upper)


@lowers("linalg_cholesky_ex.default")
def cholesky_ex(x, upper=False, check_errors=False):
    real_only(x)
    return fn.cholesky(x, upper), _info(x)


@lowers("cholesky_inverse.default")
def cholesky_inverse(x, upper=False):
    real_only(x)
    return fn.cholesky_solve(mx.broadcast_to(mx.eye(x.shape[-1]), x.shape), x, upper)


@lowers("cholesky_solve.default")
def cholesky_solve(x, input2, upper=False):
    real_only(x)
    return fn.cholesky_solve(x, input2, upper)


@lowers("linalg_inv_ex.default")
def inv_ex(A, check_errors=False):
    real_only(A)
    return fn.inverse(A), _info(A)


@lowers("inverse.default", "linalg_inv.default")
def inverse(x=None, A=None):
    return fn.inverse(A if x is None else x)


@lowers("_linalg_det.default")
def det(A):
    real_only(A)
    return fn.determinant(A)


@lowers("_linalg_slogdet.default")
def slogdet(A):
    real_only(A)
    return fn.slogdet(A)


@lowers("_linalg_solve_ex.default")
def solve_ex(A, B, left=True, check_errors=False):
    real_only(A, B)
    result, lu, pivots = fn.solve(A, B, left)
    return result, lu, pivots, _info(A)


@lowers("linalg_solve_triangular.default")
def solve_triangular(x, B, upper, left=True, unitriangular=False):
    real_only(x, B)
    return fn.triangular_solve(x, B, upper, left, unitriangular)


@lowers("triangular_solve.default")
def triangular_solve(x, A, upper=True, transpose=False, unitriangular=False):
    real_only(x, A)
    matrix = A.swapaxes(-1, -2) if transpose else A
    return fn.triangular_solve(matrix, x, upper != transpose, True, unitriangular), A


@lowers("linalg_lu_factor_ex.default")
def lu_factor_ex(A, pivot=True, check_errors=False):
    real_only(A)
    lu, pivots = fn.lu_packed(A, pivot)
    return lu, pivots, _info(A)


@lowers("linalg_lu.default")
def lu(A, pivot=True):
    real_only(A)
    packed, pivots = fn.lu_packed(A, pivot)
    p, lower, upper = fn.lu_unpack(packed, pivots)
    return (p if pivot else mx.zeros([0])), lower, upper


@lowers("lu_unpack.default")
def lu_unpack(LU_data, LU_pivots, unpack_data=True, unpack_pivots=True):
    real_only(LU_data)
    p, lower, upper = fn.lu_unpack(LU_data, LU_pivots)
    empty = mx.zeros([0])
    return p if unpack_pivots else empty, lower if unpack_data else empty, upper if unpack_data else empty


@lowers("linalg_lu_solve.default")
def lu_solve(LU, pivots, B, left=True, adjoint=False):
    real_only(LU, B)
    return fn.lu_solve(LU, pivots, B, left, adjoint)


@lowers("linalg_ldl_factor_ex.default")
def ldl_factor_ex(x, hermitian=False, check_errors=False):
    real_only(x)
    packed, pivots = fn.ldl_factor(x)
    return packed, pivots, _info(x)


@lowers("linalg_ldl_solve.default")
def ldl_solve(LD, pivots, B, hermitian=False):
    real_only(LD, B)
    return fn.ldl_solve(LD, pivots, B)


@lowers("_linalg_svd.default")
def svd(A, full_matrices=False, compute_uv=True, driver=None):
    real_only(A)
    return fn.svd(A, full_matrices, compute_uv)


@lowers("_linalg_eigh.default")
def eigh(A, UPLO="L", compute_v=True):
    real_only(A)
    if not compute_v:
        return mx.linalg.eigvalsh(A, UPLO, stream=mx.cpu), mx.zeros([0])
    return mx.linalg.eigh(A, UPLO, stream=mx.cpu)


@lowers("linalg_eig.default")
def eig(x):
    real_only(x)
    return fn.eig(x)


@lowers("linalg_eigvals.default", "_linalg_eigvals.default")
def eigvals(x):
    real_only(x)
    return mx.linalg.eigvals(x.swapaxes(-1, -2), stream=mx.cpu)  # LAPACK then sees x, and gives torch's order


@lowers("linalg_qr.default")
def qr(A, mode="reduced"):
    real_only(A)
    return fn.qr(A, mode)


@lowers("geqrf.default")
def geqrf(x):
    real_only(x)
    return fn.householder_qr(x)


@lowers("linalg_householder_product.default", "orgqr.default")
def householder_product(x, tau=None, input2=None):
    real_only(x)
    rows, columns = x.shape[-2:]
    start = mx.broadcast_to(mx.eye(rows, columns), x.shape)
    return fn.apply_reflectors(x, input2 if tau is None else tau, start, False)


@lowers("ormqr.default")
def ormqr(x, input2, input3, left=True, transpose=False):
    real_only(x)
    if left:
        return fn.apply_reflectors(x, input2, input3, transpose)
    return fn.apply_reflectors(x, input2, input3.swapaxes(-1, -2), not transpose).swapaxes(-1, -2)


@lowers("linalg_pinv.atol_rtol_tensor")
def pinv(x, atol: Any = None, rtol: Any = None, hermitian=False):
    real_only(x)
    return fn.pinv(x, atol, rtol, hermitian)


@lowers("linalg_lstsq.default")
def lstsq(x, b, rcond=None, driver=None):
    real_only(x, b)
    if rcond is not None:
        raise Unsupported("linalg_lstsq: argument rcond is not implemented")
    return fn.lstsq(x, b, driver or "gelsy")


@lowers("linalg_matrix_exp.default", "matrix_exp.default")
def matrix_exp(x):
    real_only(x)
    return fn.matrix_exp(x)
