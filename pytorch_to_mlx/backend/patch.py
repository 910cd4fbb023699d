"""Put the kernels under MLX's own names, so that a program written for MLX alone runs on them.

A name that was imported before (`from mlx.nn import silu`) keeps MLX's function: patch first, then import the program.
"""

import contextlib
import inspect
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import mlx.nn.layers.activations as activations
import numpy as np

from . import plain  # noqa: F401  it must take hold of MLX's own functions first: gradients are taken through them
from .native import kernels
from .rope import rotary_frequencies

LARGE = 32768  # numbers in an array: for fewer, the choice of a kernel takes as long as what it saves
OPERATORS = {
    "add": ("__add__", "__radd__"),
    "subtract": ("__sub__", "__rsub__"),
    "multiply": ("__mul__", "__rmul__"),
    "divide": ("__truediv__", "__rtruediv__"),
}

_originals: list[tuple[Any, str, Any]] = []


def patch_mlx() -> None:
    """Replace MLX's functions and layers by ones that call the kernels.

    In mx.fast: norms, attention, rotary positions. In mx: softmax, quantized_matmul, the convolutions, exp, sin, cos,
    tanh, sigmoid, erf, square, pad. Operators of large arrays: + - * /, whose results have the layout of the larger
    array. In mlx.nn: activations and linear layers. Arguments that a kernel does not take go to MLX's own function;
    gradients stay correct.
    """
    if _originals:
        return
    for owner, name, kernel in _functions():
        _replace(owner, name, _with_fallback(kernel, getattr(owner, name)))
    for name, methods in OPERATORS.items():
        _replace(mx, name, _with_fallback(_binary(name), getattr(mx, name)))
        for method, is_swapped in zip(methods, (False, True), strict=True):
            _replace(mx.array, method, _with_fallback(_binary(name, is_swapped), getattr(mx.array, method)))
    for name in ("exp", "sin", "cos", "tanh", "sigmoid", "erf", "square"):
        _replace(mx, name, _with_fallback(_elementwise(name), getattr(mx, name)))
    for name in ("gelu", "gelu_approx", "silu", "mish", "sigmoid", "tanh", "elu", "leaky_relu", "relu"):
        original = getattr(activations, name)
        kernel = _activation("gelu_tanh" if name == "gelu_approx" else name)
        for owner in (activations, nn):
            _replace(owner, name, _with_fallback(kernel, original))
    for owner, name in (
        (nn.SiLU, "silu"),
        (nn.ReLU, "relu"),
        (nn.Mish, "mish"),
        (nn.Sigmoid, "sigmoid"),
        (nn.Tanh, "tanh"),
    ):
        _replace(owner, "__call__", lambda self, x, name=name: getattr(activations, name)(x))
    _replace(nn.Linear, "__call__", _method(_linear, nn.Linear.__call__))
    _replace(nn.Embedding, "as_linear", _method(_as_linear, nn.Embedding.as_linear))


def unpatch_mlx() -> None:
    """Put MLX's own functions back."""
    while _originals:
        owner, name, original = _originals.pop()
        setattr(owner, name, original)


@contextlib.contextmanager
def patched_mlx() -> Iterator[None]:
    """Put the kernels under MLX's own names inside a `with`."""
    if _originals:
        yield
        return
    patch_mlx()
    try:
        yield
    finally:
        unpatch_mlx()


def _replace(owner: Any, name: str, function: Any) -> None:
    _originals.append((owner, name, inspect.getattr_static(owner, name)))
    setattr(owner, name, function)


def _with_fallback(kernel: Callable[..., Any], original: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that calls the kernel, and MLX's own where the kernel returns None or a stream is named."""

    def run(*args: Any, stream: Any = None, **options: Any) -> Any:
        if stream is not None:
            return original(*args, stream=stream, **options)
        native = kernels()
        y = kernel(native, *args, **options) if native else None
        return original(*args, **options) if y is None else y

    run.__name__, run.__doc__ = getattr(original, "__name__", "run"), original.__doc__
    return run


def _method(kernel: Callable[..., Any], original: Callable[..., Any]) -> Callable[..., Any]:
    def run(self: Any, x: mx.array) -> mx.array:
        native = kernels()
        y = kernel(native, self, x) if native else None
        return original(self, x) if y is None else y

    return run


def _activation(name: str) -> Callable[..., Any]:
    return lambda native, *args, **options: getattr(native, name)(*args, **options)


def _binary(name: str, is_swapped: bool = False) -> Callable[..., Any]:
    def run(native: Any, a: Any, b: Any) -> mx.array | None:
        if not isinstance(a, mx.array) or a.dtype != mx.float32:
            return None
        size = a.size
        if isinstance(b, mx.array):
            size = max(size, b.size)
        elif size < LARGE or type(b) not in (int, float):
            return None
        if size < LARGE:
            return None
        b = b if isinstance(b, mx.array) else mx.array(b, mx.float32)
        return native.binary(name, b, a) if is_swapped else native.binary(name, a, b)

    return run


def _elementwise(name: str) -> Callable[..., Any]:
    return lambda native, x: getattr(native, name)(x) if isinstance(x, mx.array) else None


def _linear(native: Any, layer: nn.Linear, x: mx.array) -> mx.array | None:
    return native.linear(x, layer["weight"], layer.get("bias"))


def _as_linear(native: Any, layer: nn.Embedding, x: mx.array) -> mx.array | None:
    return native.linear(x, layer["weight"])


@lru_cache(maxsize=8)  # all layers of a model need the same ones
def _angles(length: int, dims: int, base: float, scale: float, offset: int) -> tuple[mx.array, mx.array]:
    """Return cosines and sines for mx.fast.rope's arguments.

    Shapes: -> two of [length, dims / 2]. Source: Su et al. 2021, eq. 34.
    """
    positions = np.arange(offset, offset + length, dtype=np.float32) * np.float32(scale)
    angles = positions[:, None] * rotary_frequencies(dims, base)
    return mx.array(np.cos(angles)), mx.array(np.sin(angles))


def _functions() -> list[tuple[Any, str, Callable[..., Any]]]:
    """Return (owner, name, kernel) of functions in mx and mx.fast; each kernel takes the function's own arguments."""

    def softmax(native: Any, a: Any, axis: Any = None, *, precise: bool = False) -> Any:
        return native.softmax(a, axis) if isinstance(axis, int) else None

    def attention(native: Any, q: Any, k: Any, v: Any, *, scale: float, mask: Any = None, sinks: Any = None) -> Any:
        return native.attention(q, k, v, scale=scale, mask=mask) if sinks is None else None

    def rope(
        native: Any,
        x: Any,
        dims: int,
        *,
        traditional: bool,
        base: float | None,
        scale: float,
        offset: Any,
        freqs: Any = None,
    ) -> Any:
        if traditional or base is None or freqs is not None or not isinstance(offset, int):
            return None
        return native.rotate(x, *_angles(x.shape[-2], dims, base, scale, offset))

    def pad(native: Any, a: Any, pad_width: Any, mode: str = "constant", constant_values: Any = 0) -> Any:
        if not isinstance(pad_width, list) or len(pad_width) != a.ndim or a.size < LARGE:
            return None
        padded = [(axis, *widths) for axis, widths in enumerate(pad_width) if any(widths)]
        if len(padded) != 1 or not (
            mode == "edge" or (mode == "constant" and type(constant_values) is int and constant_values == 0)
        ):
            return None
        axis, before, after = padded[0]
        return native.pad_axis(a, axis=axis, before=before, after=after, edge=mode == "edge")

    def conv1d(
        native: Any, x: Any, w: Any, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1
    ) -> Any:
        return native.conv1d(x, w, stride=stride, padding=padding, dilation=dilation, groups=groups)

    def conv2d(
        native: Any, x: Any, w: Any, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1
    ) -> Any:
        pairs = (tuple(v) if isinstance(v, list) else v for v in (stride, padding, dilation))
        return native.conv2d(x, w, **dict(zip(("stride", "padding", "dilation"), pairs, strict=True)), groups=groups)

    def conv_transpose1d(
        native: Any,
        x: Any,
        w: Any,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        output_padding: Any = 0,
        groups: int = 1,
    ) -> Any:
        if dilation != 1:
            return None
        return native.conv_transpose1d(
            x, w, stride=stride, padding=padding, output_padding=output_padding, groups=groups
        )

    return [
        (mx.fast, "rms_norm", lambda native, x, weight, eps: native.rms_norm(x, weight, eps)),
        (mx.fast, "layer_norm", lambda native, x, weight, bias, eps: native.layer_norm(x, weight, bias, eps)),
        (mx.fast, "scaled_dot_product_attention", attention),
        (mx.fast, "rope", rope),
        (mx, "softmax", softmax),
        (mx, "pad", pad),
        (mx, "quantized_matmul", lambda native, *args, **options: native.quantized_matmul(*args, **options)),
        (mx, "conv1d", conv1d),
        (mx, "conv2d", conv2d),
        (mx, "conv_transpose1d", conv_transpose1d),
    ]
