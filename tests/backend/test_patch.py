"""backend.patch_mlx(): the same answers and gradients as MLX's own, and back."""

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from backend.kernels import CPU, random, to_numpy

from pytorch_to_mlx import backend

X, W = mx.array(random(2, 9, 64)), mx.array(random(64))
Q = mx.array(random(1, 4, 9, 16))
IMAGE, KERNEL = mx.array(random(1, 8, 9, 6)), mx.array(random(5, 3, 3, 6))
PACKED = mx.quantize(mx.array(random(32, 64)), bits=8)
CALLS = {
    "rms_norm": lambda x: mx.fast.rms_norm(x, W, 1e-5),
    "layer_norm": lambda x: mx.fast.layer_norm(x, W, None, 1e-5),
    "softmax": lambda x: mx.softmax(x, axis=-1),
    "softmax of everything": lambda x: mx.softmax(x),
    "softmax of another axis": lambda x: mx.softmax(x, axis=1),
    "attention": lambda x: mx.fast.scaled_dot_product_attention(
        x[:1, None, :, :16] * Q, Q, Q, scale=0.25, mask="causal"
    ),
    "rope": lambda x: mx.fast.rope(x, 32, traditional=False, base=10000.0, scale=0.5, offset=7),
    "rope of pairs": lambda x: mx.fast.rope(x[:, None], 64, traditional=True, base=10000.0, scale=1.0, offset=7),
    "quantized_matmul": lambda x: mx.quantized_matmul(x, *PACKED, bits=8),
    "conv1d": lambda x: mx.conv1d(x[..., :6], KERNEL[:, 0], 2, 1),
    "conv2d": lambda x: mx.conv2d(IMAGE * x[0, 0, 0], KERNEL, (1, 2), 1),
    "conv_transpose1d": lambda x: mx.conv_transpose1d(x[..., :6], KERNEL[:, 0], stride=2, padding=1),
    "linear": lambda x: LINEAR(x),
    "quantized linear": lambda x: QUANTIZED(x),
    "as_linear": lambda x: EMBEDDING.as_linear(x),
    **{
        name: lambda x, name=name: getattr(nn, name)(x)
        for name in ("gelu", "gelu_approx", "silu", "mish", "sigmoid", "tanh", "elu", "leaky_relu")
    },
    **{
        f"mx.{name}": lambda x, name=name: getattr(mx, name)(x)
        for name in ("exp", "sin", "cos", "tanh", "sigmoid", "erf")
    },
    "a number": lambda x: x * mx.exp(0.5),
    "SiLU": lambda x: nn.SiLU()(x),
    "GELU": lambda x: nn.GELU()(x),
    "compiled": lambda x: mx.compile(lambda y: nn.silu(y) * y, shapeless=True)(x),
}
LINEAR, EMBEDDING = nn.Linear(64, 7), nn.Embedding(12, 64)
QUANTIZED = nn.Linear(64, 32).to_quantized(group_size=32, bits=4)


@pytest.fixture
def patched():
    backend.patch_mlx()
    yield
    backend.unpatch_mlx()


@pytest.mark.parametrize("name", CALLS)
def test_answers_and_gradients(name):
    call = CALLS[name]

    def both():
        return call(X), mx.grad(lambda x: (call(x) * call(x)).sum())(X)

    expected = both()
    mx.eval(expected)
    backend.patch_mlx()
    try:
        ours = both()
        mx.eval(ours)
    finally:
        backend.unpatch_mlx()
    for one, other in zip(ours, expected, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_allclose(to_numpy(one), to_numpy(other), rtol=2e-4, atol=2e-4)


def test_it_is_the_kernels_that_run_and_it_can_be_undone():
    before = [mx.fast.rms_norm, mx.softmax, nn.silu, nn.SiLU.__call__, nn.Linear.__call__, nn.layers.activations.gelu]

    def graph() -> str:
        import io

        out = io.StringIO()
        mx.export_to_dot(out, nn.gelu(mx.softmax(LINEAR(X), axis=-1)))
        return out.getvalue()

    assert "linear" not in graph()
    backend.patch_mlx()
    backend.patch_mlx()  # twice is once
    try:
        assert CPU is None or all(name in graph() for name in ("linear", "softmax", "gelu"))
    finally:
        backend.unpatch_mlx()
    assert before == [
        mx.fast.rms_norm, mx.softmax, nn.silu, nn.SiLU.__call__, nn.Linear.__call__, nn.layers.activations.gelu
    ]  # fmt: skip
    assert "linear" not in graph()


def test_half_precision_and_other_dtypes(patched):
    layer = nn.Linear(64, 7)
    layer.set_dtype(mx.bfloat16)
    assert layer(X.astype(mx.bfloat16)).dtype == mx.bfloat16
    assert mx.softmax(mx.array([1, 2]), axis=-1).tolist() == pytest.approx([0.2689414, 0.7310586])
    with mx.stream(mx.cpu):
        assert mx.softmax(X.astype(mx.float64), axis=-1).dtype == mx.float64
