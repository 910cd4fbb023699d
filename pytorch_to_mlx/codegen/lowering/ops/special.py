"""Special functions."""

from ...graph import Meta
from ..recorder import fn, mx
from .op_table import lowers
from .types import is_array, to

# torch name -> helper, for functions of one array
HELPERS = {
    "digamma": "digamma",
    "lgamma": "lgamma",
    "erfc": "erfc",
    "i0": "i0",
    "special_i0e": "i0e",
    "special_i1": "i1",
    "special_i1e": "i1e",
    "special_erfcx": "erfcx",
    "special_log_ndtr": "log_ndtr",
    "special_ndtri": "ndtri",
    "special_bessel_j0": "bessel_j0",
    "special_bessel_j1": "bessel_j1",
    "special_bessel_y0": "bessel_y0",
    "special_bessel_y1": "bessel_y1",
    "special_modified_bessel_i0": "i0",
    "special_modified_bessel_i1": "i1",
    "special_modified_bessel_k0": "bessel_k0",
    "special_modified_bessel_k1": "bessel_k1",
    "special_scaled_modified_bessel_k0": "scaled_k0",
    "special_scaled_modified_bessel_k1": "scaled_k1",
    "special_spherical_bessel_j0": "spherical_bessel_j0",
    "special_airy_ai": "airy_ai",
}
POLYNOMIALS = {
    "chebyshev_polynomial_t": "t",
    "chebyshev_polynomial_u": "u",
    "chebyshev_polynomial_v": "v",
    "chebyshev_polynomial_w": "w",
    "hermite_polynomial_h": "h",
    "hermite_polynomial_he": "he",
    "laguerre_polynomial_l": "l",
    "legendre_polynomial_p": "p",
} | {f"shifted_chebyshev_polynomial_{k}": f"shifted_chebyshev_polynomial_{k}" for k in "tuvw"}


def _one(helper: str):
    def lowering(x, result: Meta):
        return getattr(fn, helper)(to(x, result.dtype))

    lowering.__name__ = helper
    lowering.__module__ = __name__
    return lowering


def _polynomial(kind: str):
    def lowering(x, n, result: Meta):
        return fn.orthogonal(kind, to(x, result.dtype), to(n, result.dtype))

    lowering.__module__ = __name__
    return lowering


for _op, _helper in HELPERS.items():
    lowers(f"{_op}.default")(_one(_helper))
for _op, _kind in POLYNOMIALS.items():
    lowers(f"special_{_op}.default", f"special_{_op}.x_scalar", f"special_{_op}.n_scalar")(_polynomial(_kind))


@lowers("polygamma.default")
def polygamma(n, x, result: Meta):
    return fn.polygamma(n, to(x, result.dtype))


@lowers("special_zeta.default", "special_zeta.other_scalar", "special_zeta.self_scalar")
def zeta(x, other, result: Meta):
    return fn.zeta(*_floats(x, other, result))


@lowers("igamma.default", "special_gammainc.default")
def igamma(x, other, result: Meta):
    return fn.igamma(*_floats(x, other, result))


@lowers("igammac.default", "special_gammaincc.default")
def igammac(x, other, result: Meta):
    return fn.igamma(*_floats(x, other, result), True)


def _floats(x, other, result: Meta):
    return [to(v, result.dtype) if is_array(v) else mx.array(v, result.dtype) for v in (x, other)]
