"""Ops that draw random numbers. Each is computed from noise, an input of the model that `--noise input` makes of it.

The formulas are those of `capture/noise.py`, so that PyTorch and MLX draw the same from the same noise.
"""

import math
from collections.abc import Mapping
from typing import Any

from ...graph import Meta, Unsupported
from ..recorder import fn, let, mx
from .op_table import lowers
from .types import to

# By name without library, overload and marks: ops that draw standard normal noise, and uniform noise.
NORMAL = ("randn", "randn_like", "normal", "log_normal")
UNIFORM = (
    "rand", "rand_like", "uniform", "bernoulli", "native_dropout", "exponential", "cauchy", "geometric", "randint",
    "randint_like", "randperm", "multinomial",
)  # fmt: skip
INSIDE = 'it draws random numbers inside the model; --noise input (noise="input" in Python) makes them an input'


def draws_noise(name: str, arguments: Mapping[str, Any]) -> bool:
    """Tell whether a call of an op of NORMAL or UNIFORM draws, and draws what can be computed from noise."""
    if name == "native_dropout":
        return bool(arguments["train"]) and arguments["p"] > 0
    if name == "multinomial":
        return arguments["num_samples"] == 1 or not arguments["replacement"]
    return True


def is_random(op: str) -> bool:
    """Tell whether an op of PyTorch draws random numbers, "aten.randn.default"."""
    library, name, *_ = f"{op}.".split(".")
    return library == "aten" and name.removesuffix("_functional") in {*NORMAL, *UNIFORM, "poisson", "random"}


def _normal(noise, meta: Meta):
    return _noise(fn.normal_noise, noise, meta.shape, _float(meta))


def _uniform(noise, meta: Meta):
    return _noise(fn.uniform_noise, noise, meta.shape, _float(meta))


def _noise(draw, noise, shape, dtype):
    if noise is None:
        raise Unsupported(INSIDE)
    return draw(noise, list(shape), dtype)


def _float(meta: Meta):
    return meta.dtype if meta.dtype in (mx.float16, mx.bfloat16) else mx.float32


@lowers("randn.default", "randn.generator", "randn_like.default")
def randn(size=None, x=None, dtype=None, noise=None, *, result: Meta):
    return _normal(noise, result)


@lowers("rand.default", "rand.generator", "rand_like.default")
def rand(size=None, x=None, dtype=None, noise=None, *, result: Meta):
    return _uniform(noise, result)


@lowers("normal_functional.default", "normal.Tensor_Tensor", "normal.Tensor_float", "normal.float_Tensor")
def normal(x=None, mean=0.0, std=1.0, noise=None, *, result: Meta):
    return mean + std * _normal(noise, result)


@lowers("normal.float_float")
def normal_of_numbers(mean, std, size, dtype=None, noise=None, *, result: Meta):
    return mean + std * _normal(noise, result)


@lowers("log_normal.default")
def log_normal(x, mean=1.0, std=2.0, noise=None, *, result: Meta):
    return mx.exp(mean + std * _normal(noise, result))


@lowers("uniform.default")
def uniform(noise=None, *, result: Meta, **arguments):
    start, end = arguments.get("from", 0.0), arguments.get("to", 1.0)
    return start + (end - start) * _uniform(noise, result)


@lowers("bernoulli.default", "bernoulli.p", "bernoulli.Tensor")
def bernoulli(x, p=None, noise=None, *, result: Meta):
    return to(_uniform(noise, result) < (x if p is None else p), result.dtype)


@lowers("native_dropout.default")
def native_dropout(x, p, train, noise=None, *, result):
    if not train or p == 0:
        return x, mx.ones_like(x).astype(mx.bool_)
    mask = let("mask", _uniform(noise, result[0]) < 1 - p)
    return x * mask * (1 / (1 - p) if p < 1 else 0), mask


@lowers("exponential.default")
def exponential(x, lambd=1.0, noise=None, *, result: Meta):
    return -mx.log1p(-_uniform(noise, result)) / lambd


@lowers("cauchy.default")
def cauchy(x, median=0.0, sigma=1.0, noise=None, *, result: Meta):
    return median + sigma * mx.tan(math.pi * (_uniform(noise, result) - 0.5))


@lowers("geometric.default")
def geometric(x, p, noise=None, *, result: Meta):
    return to(mx.maximum(mx.ceil(mx.log1p(-_uniform(noise, result)) / math.log1p(-p)), 1), result.dtype)


@lowers("randint.default", "randint.low", "randint_like.default", "randint_like.low_dtype")
def randint(high, size=None, low=0, x=None, dtype=None, noise=None, *, result: Meta):
    return to(low + mx.floor(_uniform(noise, result) * (high - low)), result.dtype)


@lowers("randperm.default")
def randperm(n, dtype=None, noise=None, *, result: Meta):
    return to(mx.argsort(_uniform(noise, result)), result.dtype)


@lowers("multinomial.default")
def multinomial(x, num_samples, replacement=False, noise=None, *, result: Meta):
    if num_samples > 1 and replacement:
        raise Unsupported("multinomial: several draws with replacement are not implemented")
    dtype = x.dtype
    keys = mx.log(x) - mx.log(-mx.log(_noise(fn.uniform_noise, noise, x.shape, dtype)))
    return to(mx.argsort(-keys, axis=-1)[..., :num_samples], result.dtype)
