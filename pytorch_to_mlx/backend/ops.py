"""The operations of `plain`, by a CPU kernel where one takes the arguments. This is the one place that chooses."""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from . import plain
from .native import kernels

Function = TypeVar("Function", bound=Callable[..., Any])


def _with_kernel(function: Function) -> Function:
    """Return a function that calls the kernel of the same name, and `function` where there is none.

    A kernel that does not take its arguments (a dtype, a grouping) returns None; then `function` is called too.
    """
    name = function.__name__

    @wraps(function)
    def run(*args: Any, **options: Any) -> Any:
        kernel = getattr(kernels(), name, None)
        y = kernel(*args, **options) if kernel else None
        return function(*args, **options) if y is None else y

    return run  # pyright: ignore[reportReturnType]


add = _with_kernel(plain.add)
attention = _with_kernel(plain.attention)
attention_by_rows = _with_kernel(plain.attention_by_rows)
conv1d = _with_kernel(plain.conv1d)
conv2d = _with_kernel(plain.conv2d)
conv_transpose1d = _with_kernel(plain.conv_transpose1d)
cos = _with_kernel(plain.cos)
elu = _with_kernel(plain.elu)
erf = _with_kernel(plain.erf)
exp = _with_kernel(plain.exp)
gelu = _with_kernel(plain.gelu)
gelu_tanh = _with_kernel(plain.gelu_tanh)
group_norm = _with_kernel(plain.group_norm)
instance_norm = _with_kernel(plain.instance_norm)
instance_norm_leaky_relu = _with_kernel(plain.instance_norm_leaky_relu)
instance_norm_snake = _with_kernel(plain.instance_norm_snake)
layer_norm = _with_kernel(plain.layer_norm)
leaky_relu = _with_kernel(plain.leaky_relu)
linear = _with_kernel(plain.linear)
linear_topk = _with_kernel(plain.linear_topk)
lstm = _with_kernel(plain.lstm)
lstm_steps = _with_kernel(plain.lstm_steps)
mish = _with_kernel(plain.mish)
power = _with_kernel(plain.power)
quantized_matmul = _with_kernel(plain.quantized_matmul)
quantized_topk = _with_kernel(plain.quantized_topk)
rms_norm = _with_kernel(plain.rms_norm)
rotate = _with_kernel(plain.rotate)
sigmoid = _with_kernel(plain.sigmoid)
silu = _with_kernel(plain.silu)
sin = _with_kernel(plain.sin)
snake = _with_kernel(plain.snake)
softmax = _with_kernel(plain.softmax)
tanh = _with_kernel(plain.tanh)
