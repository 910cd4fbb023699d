"""Arithmetic, comparison and rounding, element by element."""

import math

from ...graph import Meta, Unsupported
from ..recorder import fn, let, mx
from .op_table import lowers
from .types import FLOATS, is_array, is_complex, is_float, to

# torch name -> MLX name, for functions of one array whose MLX form takes and gives the same values.
SAME_NAME = (
    "abs acos acosh asin asinh atan atanh ceil cos cosh erf erfinv exp expm1 floor isnan isinf isfinite log log10 "
    "log1p log2 reciprocal rsqrt sigmoid sin sinh sqrt tan tanh trunc"
).split()
NEEDS_FLOAT = set(SAME_NAME) - {"abs", "ceil", "floor", "trunc", "isnan", "isinf", "isfinite"}
KEEPS_INTS = {"ceil", "floor", "trunc", "round"}


def _unary(name: str):
    def lowering(x, result: Meta):
        if name in KEEPS_INTS and not is_float(x.dtype):
            return x
        if name in NEEDS_FLOAT:
            x = to(x, result.dtype)
        return getattr(mx, name)(x)

    lowering.__name__ = name
    lowering.__module__ = __name__
    return lowering


for _name in SAME_NAME:
    lowers(f"{_name}.default")(_unary(_name))


@lowers("neg.default")
def neg(x):
    return -x


@lowers("positive.default")
def positive(x):
    return x


@lowers("sgn.default")
def sgn(x):
    return fn.complex_sign(x) if is_complex(x.dtype) else mx.sign(x)


@lowers("sign.default")
def sign(x):
    return x if x.dtype == mx.bool_ else mx.sign(x)


@lowers("exp2.default")
def exp2(x, result: Meta):
    return mx.power(2.0, to(x, result.dtype))


@lowers("frac.default")
def frac(x):
    x = let("x", x)
    return x - mx.trunc(x)


@lowers("round.default")
def round_half_even(x):
    return mx.round(x) if is_float(x.dtype) else x


@lowers("round.decimals")
def round_decimals(x, decimals=0):
    if decimals == 0 or not is_float(x.dtype):
        return round_half_even(x)
    scale = 10.0 ** abs(decimals)
    return mx.round(x * scale) / scale if decimals > 0 else mx.round(x / scale) * scale


@lowers("deg2rad.default")
def deg2rad(x, result: Meta):
    return to(x, result.dtype) * (math.pi / 180)


@lowers("rad2deg.default")
def rad2deg(x, result: Meta):
    return to(x, result.dtype) * (180 / math.pi)


@lowers("signbit.default")
def signbit(x):
    return fn.signbit(x) if is_float(x.dtype) else x < 0


@lowers("isneginf.default")
def isneginf(x):
    return x == -math.inf


@lowers("isposinf.default")
def isposinf(x):
    return x == math.inf


def _operands(x, y, result: Meta):
    return to(x, result.dtype), to(y, result.dtype)


def _scaled(y, alpha):
    return y if alpha == 1 else y * alpha


@lowers("add.Tensor", "add.Scalar", "add.default")
def add(x, other, alpha=1, *, result: Meta):
    x, other = _operands(x, other, result)
    return x + _scaled(other, alpha)


@lowers("sub.Tensor", "sub.Scalar")
def sub(x, other, alpha=1, *, result: Meta):
    x, other = _operands(x, other, result)
    return x - _scaled(other, alpha)


@lowers("rsub.Tensor", "rsub.Scalar")
def rsub(x, other, alpha=1, *, result: Meta):
    x, other = _operands(x, other, result)
    return other - _scaled(x, alpha)


@lowers("mul.Tensor", "mul.Scalar")
def mul(x, other, *, result: Meta):
    x, other = _operands(x, other, result)
    return x & other if result.dtype == mx.bool_ else x * other


@lowers("div.Tensor", "div.Scalar", "true_divide.Tensor")
def div(x, other, *, result: Meta):
    x, other = _operands(x, other, result)
    return x / other


@lowers("div.Tensor_mode", "div.Scalar_mode")
def div_mode(x, other, rounding_mode=None, *, result: Meta):
    if rounding_mode is None:
        return div(x, other, result=result)
    return floor_divide(x, other, result=result) if rounding_mode == "floor" else _divide_to_zero(x, other, result)


def _divide_to_zero(x, other, result: Meta):
    x, other = _operands(x, other, result)
    return mx.trunc(x / other) if is_float(result.dtype) else fn.divide_to_zero(x, other)


@lowers("floor_divide.default", "floor_divide.Scalar")
def floor_divide(x, other, *, result: Meta):
    x, other = _operands(x, other, result)
    return fn.floor_divide(x, other) if is_float(result.dtype) else x // other


@lowers("remainder.Tensor", "remainder.Scalar", "remainder.Scalar_Tensor")
def remainder(x, other, *, result: Meta):
    x, other = _operands(x, other, result)
    return mx.remainder(x, other)


@lowers("fmod.Tensor", "fmod.Scalar")
def fmod(x, other, *, result: Meta):
    return fn.fmod(*_operands(x, other, result))


@lowers("pow.Tensor_Tensor", "pow.Tensor_Scalar", "pow.Scalar")
def power(x, exponent, *, result: Meta):
    x, exponent = _operands(x, exponent, result)
    if isinstance(exponent, int | float) and is_array(x):
        if exponent == 2:
            return mx.square(x)
        if exponent == 3:  # as torch does it, and many times as fast as a power
            x = let("x", x)
            return mx.square(x) * x
        if exponent == 0.5:
            return mx.sqrt(x)
        if exponent == -0.5:
            return mx.rsqrt(x)
        if exponent == -1:
            return mx.reciprocal(x)
        if is_float(result.dtype):
            exponent = float(exponent)
    elif isinstance(x, int | float) and is_float(result.dtype):
        x = float(x)
    return fn.complex_power(x, exponent) if is_complex(result.dtype) else mx.power(x, exponent)


@lowers("float_power.Tensor_Tensor", "float_power.Tensor_Scalar", "float_power.Scalar")
def float_power(x, exponent, *, result: Meta):
    return power(x, exponent, result=result)


@lowers("maximum.default", "max.other")
def maximum(x, other, *, result: Meta):
    return mx.maximum(*_operands(x, other, result))


@lowers("minimum.default", "min.other")
def minimum(x, other, *, result: Meta):
    return mx.minimum(*_operands(x, other, result))


@lowers("fmax.default")
def fmax(x, other, *, result: Meta):
    return fn.fmax(*_operands(x, other, result))


@lowers("fmin.default")
def fmin(x, other, *, result: Meta):
    return fn.fmin(*_operands(x, other, result))


@lowers("clamp.default", "clamp.Tensor")
def clamp(x, min=None, max=None, *, result: Meta):
    x, min, max = to(x, result.dtype), to(min, result.dtype), to(max, result.dtype)
    if min is not None and max is not None:
        return mx.minimum(mx.maximum(x, min), max)
    return mx.maximum(x, min) if max is None else mx.minimum(x, max)


@lowers("clamp_min.default", "clamp_min.Tensor")
def clamp_min(x, min, *, result: Meta):
    return clamp(x, min=min, result=result)


@lowers("clamp_max.default", "clamp_max.Tensor")
def clamp_max(x, max, *, result: Meta):
    return clamp(x, max=max, result=result)


def _compare(name: str, function: str):
    def lowering(x, other):
        return getattr(mx, function)(x, other) if not is_array(x) else _COMPARE[name](x, other)

    lowering.__name__ = name
    lowering.__module__ = __name__
    return lowering


_COMPARE = {
    "eq": lambda x, y: x == y,
    "ne": lambda x, y: x != y,
    "lt": lambda x, y: x < y,
    "le": lambda x, y: x <= y,
    "gt": lambda x, y: x > y,
    "ge": lambda x, y: x >= y,
}
for _name, _function in zip(_COMPARE, "equal not_equal less less_equal greater greater_equal".split(), strict=True):
    lowers(f"{_name}.Tensor", f"{_name}.Scalar")(_compare(_name, _function))


def _truth(x):
    return to(x, mx.bool_) if not is_complex(x.dtype) else x != 0


@lowers("logical_not.default")
def logical_not(x):
    return mx.logical_not(_truth(x))


@lowers("logical_and.default")
def logical_and(x, other):
    return mx.logical_and(_truth(x), _truth(other))


@lowers("logical_or.default")
def logical_or(x, other):
    return mx.logical_or(_truth(x), _truth(other))


@lowers("logical_xor.default")
def logical_xor(x, other):
    return _truth(x) != _truth(other)


@lowers("bitwise_not.default")
def bitwise_not(x):
    return mx.logical_not(x) if x.dtype == mx.bool_ else ~x


@lowers("bitwise_and.Tensor", "bitwise_and.Scalar", "__and__.Tensor", "__and__.Scalar")
def bitwise_and(x, other, *, result: Meta):
    x, other = _operands(x, other, result)
    return x & other


@lowers("bitwise_or.Tensor", "bitwise_or.Scalar", "__or__.Tensor", "__or__.Scalar")
def bitwise_or(x, other, *, result: Meta):
    x, other = _operands(x, other, result)
    return x | other


@lowers("bitwise_xor.Tensor", "bitwise_xor.Scalar", "__xor__.Tensor", "__xor__.Scalar")
def bitwise_xor(x, other, *, result: Meta):
    x, other = _operands(x, other, result)
    return x ^ other


@lowers("bitwise_left_shift.Tensor", "bitwise_left_shift.Tensor_Scalar", "__lshift__.Tensor", "__lshift__.Scalar")
def left_shift(x, other, *, result: Meta):
    x, other = _operands(x, other, result)
    return x << other


@lowers("bitwise_right_shift.Tensor", "bitwise_right_shift.Tensor_Scalar", "__rshift__.Tensor", "__rshift__.Scalar")
def right_shift(x, other, *, result: Meta):
    x, other = _operands(x, other, result)
    return x >> other


@lowers("where.self", "where.ScalarSelf", "where.ScalarOther", "where.Scalar")
def where(condition, x, other, *, result: Meta):
    x, other = _operands(x, other, result)
    return mx.where(to(condition, mx.bool_), x, other)


@lowers("masked_fill.Scalar", "masked_fill.Tensor")
def masked_fill(x, mask, value, *, result: Meta):
    return mx.where(mask, to(value, result.dtype), x)


@lowers("addcmul.default")
def addcmul(x, tensor1, tensor2, value=1, *, result: Meta):
    x, tensor1, tensor2 = (to(item, result.dtype) for item in (x, tensor1, tensor2))
    return x + _scaled(tensor1 * tensor2, value)


@lowers("addcdiv.default")
def addcdiv(x, tensor1, tensor2, value=1, *, result: Meta):
    x, tensor1, tensor2 = (to(item, result.dtype) for item in (x, tensor1, tensor2))
    return x + _scaled(tensor1 / tensor2, value)


@lowers("lerp.Scalar", "lerp.Tensor")
def lerp(x, end, weight):
    x = let("start", x)
    return x + weight * (end - x)


@lowers("atan2.default")
def atan2(x, other, *, result: Meta):
    return mx.arctan2(*_operands(x, other, result))


@lowers("hypot.default")
def hypot(x, other):
    return fn.hypot(x, other)


@lowers("copysign.Tensor", "copysign.Scalar")
def copysign(x, other, *, result: Meta):
    x, other = _operands(x, other, result)
    other = mx.array(other, result.dtype) if not is_array(other) else other
    return fn.copysign(x, other)


@lowers("heaviside.default")
def heaviside(x, values):
    return fn.heaviside(x, values)


@lowers("ldexp.Tensor")
def ldexp(x, other, *, result: Meta):
    return to(x, result.dtype) * mx.power(2.0, to(other, result.dtype))


@lowers("frexp.Tensor")
def frexp(x):
    return tuple(fn.frexp(x))


@lowers("nextafter.default")
def nextafter(x, other):
    if x.dtype != mx.float32:
        raise Unsupported(f"nextafter of {x.dtype} is not implemented")
    return fn.nextafter(x, other)


@lowers("nan_to_num.default")
def nan_to_num(x, nan=None, posinf=None, neginf=None):
    if x.dtype not in FLOATS:
        return x
    return mx.nan_to_num(x, nan=0.0 if nan is None else nan, posinf=posinf, neginf=neginf)


@lowers("angle.default")
def angle(x, result: Meta):
    if is_complex(x.dtype):
        return mx.arctan2(mx.imag(x), mx.real(x))
    x = let("x", to(x, result.dtype))
    return mx.where(mx.isnan(x), x, mx.where(x < 0, math.pi, 0.0))


@lowers("complex.default")
def make_complex(real, imag):
    return real + 1j * imag


@lowers("polar.default")
def polar(abs, angle):
    return fn.polar(abs, angle)


@lowers("real.default")
def real(x):
    return mx.real(x) if is_complex(x.dtype) else x


@lowers("imag.default")
def imag(x):
    return mx.imag(x)


@lowers("_conj.default", "_conj_physical.default", "conj_physical.default", "conj.default")
def conj(x):
    return mx.conj(x) if is_complex(x.dtype) else x


@lowers("view_as_real.default")
def view_as_real(x):
    return fn.view_as_real(x)


@lowers("view_as_complex.default")
def view_as_complex(x):
    return fn.view_as_complex(x)
