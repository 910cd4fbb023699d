"""The one place that picks a native kernel or the MLX op. What each function computes is said in `plain`."""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from . import plain
from .native import kernels

Function = TypeVar("Function", bound=Callable[..., Any])


def _picked(function: Function) -> Function:
    """The kernel of the same name where it is here and takes these arguments, else `function`.

    A kernel that has no answer for its arguments (a dtype, a grouping) returns None.
    """
    name = function.__name__

    @wraps(function)
    def run(*args: Any, **options: Any) -> Any:
        kernel = getattr(kernels(), name, None)
        y = kernel(*args, **options) if kernel else None
        return function(*args, **options) if y is None else y

    return run  # pyright: ignore[reportReturnType]


add = _picked(plain.add)
attention = _picked(plain.attention)
conv1d = _picked(plain.conv1d)
conv2d = _picked(plain.conv2d)
conv_transpose1d = _picked(plain.conv_transpose1d)
cos = _picked(plain.cos)
elu = _picked(plain.elu)
erf = _picked(plain.erf)
exp = _picked(plain.exp)
gelu = _picked(plain.gelu)
gelu_tanh = _picked(plain.gelu_tanh)
group_norm = _picked(plain.group_norm)
instance_norm = _picked(plain.instance_norm)
instance_norm_leaky_relu = _picked(plain.instance_norm_leaky_relu)
instance_norm_snake = _picked(plain.instance_norm_snake)
layer_norm = _picked(plain.layer_norm)
leaky_relu = _picked(plain.leaky_relu)
linear = _picked(plain.linear)
lstm = _picked(plain.lstm)
lstm_steps = _picked(plain.lstm_steps)
mish = _picked(plain.mish)
quantized_matmul = _picked(plain.quantized_matmul)
rms_norm = _picked(plain.rms_norm)
rotate = _picked(plain.rotate)
sigmoid = _picked(plain.sigmoid)
silu = _picked(plain.silu)
sin = _picked(plain.sin)
snake = _picked(plain.snake)
softmax = _picked(plain.softmax)
tanh = _picked(plain.tanh)
