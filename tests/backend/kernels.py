"""What the tests of the kernels share: random arrays, PyTorch in float64, and errors measured against it."""

import mlx.core as mx
import numpy as np
import torch

from pytorch_to_mlx.backend import native

CPU = native.load()[0]
# Two roundings of a number; a processor without fused multiply-add also rounds each product.
ROUNDING = 3.6e-7 if CPU is not None and CPU.isa == "SSE4.2" else 2.4e-7


def random(*shape: int, shift: float = 0.0) -> np.ndarray:
    return (np.random.standard_normal(shape) + shift).astype(np.float32)


def to_mlx(value, dtype: mx.Dtype = mx.float32):
    return (
        mx.array(value).astype(dtype) if isinstance(value, np.ndarray) and value.dtype != np.bool_ else mx.array(value)
    )


def to_numpy(y: mx.array) -> np.ndarray:
    return np.array(y.astype(mx.float32))


def no_worse_than_torch(ours: mx.array, reference, *arrays, factor: float = 2.0, rounding: float = ROUNDING) -> None:
    """Our error against PyTorch in float64 is at most twice that of PyTorch in float32, on the same input.

    Both the largest (or `rounding` of the largest number) and the root mean square (or one rounding).
    """
    tensors = [torch.from_numpy(a) if isinstance(a, np.ndarray) else a for a in arrays]
    truth = reference(*(t.double() if isinstance(t, torch.Tensor) and t.is_floating_point() else t for t in tensors))
    theirs, truth = reference(*tensors).double().numpy(), truth.numpy()
    assert ours.shape == truth.shape
    if not truth.size:
        return
    for name, size, least in (
        ("largest", lambda x: np.abs(x).max(), rounding),
        ("mean", lambda x: np.sqrt(np.square(x).mean()), 1.2e-7),
    ):
        error, allowed = size(to_numpy(ours) - truth), max(factor * size(theirs - truth), least * size(truth))
        assert error <= allowed, f"{name} error {error:.2e}, allowed {allowed:.2e}"


def views(x: np.ndarray) -> list[mx.array]:
    """The same numbers with other strides: sliced, turned, shifted, broadcast back."""
    turned = mx.array(np.ascontiguousarray(np.moveaxis(x, -1, 0)))
    found = [
        mx.array(np.repeat(x, 2, axis=-1))[..., ::2],
        mx.moveaxis(turned, 0, -1),
        mx.array(np.concatenate([x[:1], x]))[1:],
        mx.array(x[..., ::-1].copy())[..., ::-1],
    ]
    if x.ndim > 1:
        found.append(mx.array(np.repeat(x, 3, axis=-2))[..., 1::3, :])
    return found
