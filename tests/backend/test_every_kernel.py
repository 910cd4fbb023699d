"""What holds for every kernel: any number of threads and any processor, mx.compile, gradients, vmap, other streams."""

import os
import subprocess
import sys

import mlx.core as mx
import numpy as np
import pytest
from backend.kernels import CPU, random, to_numpy

from pytorch_to_mlx.backend import ops, plain


def calls() -> dict:
    """name: (function of arrays, arrays). The first array is 3-dimensional but for attention."""
    x, w, b, alpha = random(2, 300, 72), random(72), random(72), np.abs(random(72)) + 0.3
    style = random(2, 1, 72), random(2, 1, 72)
    q, k, v = random(1, 4, 150, 16), random(1, 2, 600, 16), random(1, 2, 600, 16)
    found = {
        name: (getattr(ops, name), [x])
        for name in "exp sin cos tanh sigmoid erf gelu gelu_tanh silu mish elu leaky_relu softmax".split()
    }
    return found | {
        "snake": (ops.snake, [x, alpha]),
        "softmax_mask": (lambda x, m: ops.softmax(x, scale=0.5, mask=m), [x, random(300, 72)]),
        "layer_norm": (lambda x, w, b: ops.layer_norm(x, w, b, 1e-5), [x, w, b]),
        "layer_norm_bias": (lambda x, b: ops.layer_norm(x, None, b, 1e-5), [x, b]),
        "layer_norm_style": (lambda x, w, b: ops.layer_norm(x, w, b, 1e-5), [x, *style]),
        "rms_norm": (lambda x, w: ops.rms_norm(x, w, 1e-5), [x, w]),
        "group_norm": (lambda x, w, b: ops.group_norm(x, 8, w, b, 1e-5), [x, w, b]),
        "instance_norm": (lambda x, w, b: ops.instance_norm(x, 1e-5, w, b), [x, *style]),
        "instance_norm_plain": (lambda x: ops.instance_norm(x, 1e-5), [x]),
        "instance_norm_snake": (lambda x, w, b, a: ops.instance_norm_snake(x, 1e-5, w, b, a), [x, *style, alpha]),
        "instance_norm_leaky_relu": (lambda x, w, b: ops.instance_norm_leaky_relu(x, 1e-5, w, b, 0.2), [x, *style]),
        "power": (ops.power, [x]),
        "linear_leaky_relu": (
            lambda x, w, b: ops.linear(x, w, b, slope=0.2, floor=-0.4),
            [x, random(40, 72), random(40)],
        ),
        "conv1d_relu": (lambda x, w, b: ops.conv1d(x, w, b, slope=0.0), [x, random(40, 3, 72), random(40)]),
        "conv2d_leaky_relu": (
            lambda x, w: ops.conv2d(x[..., None], w, slope=0.2, floor=-0.4),
            [x[:, :60], random(8, 3, 3, 1)],
        ),
        "rotate": (ops.rotate, [x, random(300, 30), random(300, 30)]),
        "attention": (lambda q, k, v: ops.attention(q, k, v, scale=0.25), [q, k, v]),
        "attention_causal": (lambda q, k, v: ops.attention(q, k, v, scale=0.25, mask="causal"), [q, k, v]),
        "attention_mask": (lambda q, k, v, m: ops.attention(q, k, v, scale=0.25, mask=m), [q, k, v, random(150, 600)]),
        "attention_one": (lambda q, k, v: ops.attention(q, k, v, scale=0.25), [q[:, :, :1], k, v]),
    }


def arrays(values):
    return [mx.array(v) for v in values]


NAMES = list(calls())
each_kernel = pytest.mark.parametrize("name", NAMES)


@each_kernel
def test_threads_change_nothing(name):
    if CPU is None:
        pytest.skip("MLX's own ops run on one thread")
    function, values = calls()[name]
    want = to_numpy(function(*arrays(values)))
    threads = CPU.threads()
    try:
        for n in (1, 2, 5):
            CPU.set_threads(n)
            np.testing.assert_array_equal(to_numpy(function(*arrays(values))), want)
    finally:
        CPU.set_threads(threads)


@each_kernel
def test_compile(name):
    function, values = calls()[name]
    want = to_numpy(function(*arrays(values)) * 2 + 1)
    compiled = mx.compile(lambda *a: function(*a) * 2 + 1)
    for _ in range(2):
        np.testing.assert_allclose(to_numpy(compiled(*arrays(values))), want, rtol=1e-6, atol=1e-6)


@each_kernel
def test_gradients_are_those_of_mlx(name, monkeypatch):
    function, values = calls()[name]
    values = [v[..., :40, :] if v.ndim > 1 and v.shape[-2] == 300 else v for v in values]
    weights = mx.array(random(*function(*arrays(values)).shape))

    def gradients():
        every = tuple(range(len(values)))
        loss, grads = mx.value_and_grad(lambda *a: (function(*a) * weights).sum(), argnums=every)(*arrays(values))
        return [loss, *grads]

    ours = gradients()
    monkeypatch.setattr(ops, "kernels", lambda: None)
    for got, want in zip(ours, gradients(), strict=True):
        assert got.shape == want.shape
        scale = np.abs(to_numpy(want)).max()
        np.testing.assert_allclose(to_numpy(got), to_numpy(want), rtol=1e-4, atol=1e-4 * scale)


@each_kernel
def test_vmap_and_jvp(name, monkeypatch):
    function, values = calls()[name]
    batch = arrays(values)
    batch[0] = mx.stack([batch[0], batch[0] * 0.5])
    tangents = [mx.ones_like(a) for a in arrays(values)]

    def both():
        mapped = mx.vmap(function, in_axes=(0, *(None for _ in values[1:])))(*batch)
        if name.startswith("conv2d"):  # MLX's own has no jvp
            return [mapped]
        return [mapped, mx.jvp(function, arrays(values), tangents)[1][0]]

    ours = both()
    monkeypatch.setattr(ops, "kernels", lambda: None)
    for got, want in zip(ours, both(), strict=True):
        np.testing.assert_allclose(to_numpy(got), to_numpy(want), rtol=1e-3, atol=1e-3)


def test_half_precision_gradients_keep_their_dtype():
    x, w = mx.array(random(2, 9, 8)).astype(mx.bfloat16), mx.array(random(8)).astype(mx.bfloat16)
    for function in (ops.gelu, lambda x: ops.layer_norm(x, w, w, 1e-5), lambda x: ops.instance_norm(x, 1e-5, w, w)):
        y, (grad,) = mx.vjp(function, [x], [mx.ones_like(x)])
        assert y[0].dtype == grad.dtype == mx.bfloat16 and mx.isfinite(grad).all().item()


def test_the_same_arrays_give_different_kernels_under_compile():
    x = mx.array(random(1, 50, 8))
    both = mx.compile(lambda x: (ops.leaky_relu(x, 0.1), ops.leaky_relu(x, 0.2), ops.elu(x, 1.0), ops.elu(x, 0.5)))
    for got, want in zip(
        both(x), (plain.leaky_relu(x, 0.1), plain.leaky_relu(x, 0.2), plain.elu(x), plain.elu(x, 0.5)), strict=True
    ):
        np.testing.assert_allclose(to_numpy(got), to_numpy(want), rtol=1e-5, atol=1e-6)
    norms = mx.compile(lambda x, p: (ops.layer_norm(x, p, None, 1e-5), ops.layer_norm(x, None, p, 1e-5)))
    scaled, shifted = norms(x, mx.zeros(8))
    assert not scaled.any().item() and shifted.any().item()


def test_an_input_may_be_reused_in_place_only_if_nobody_else_needs_it():
    x = mx.array(random(4, 200, 64))
    before = to_numpy(x)
    kept = x * 1
    ours = [
        ops.gelu(x * 1),
        ops.softmax(x * 1),
        ops.instance_norm(x * 1, 1e-5),
        ops.layer_norm(kept, None, None, 1e-5) + kept,
    ]
    mx.eval(ours)
    np.testing.assert_array_equal(to_numpy(x), before)
    want = [plain.gelu(x), plain.softmax(x), plain.instance_norm(x, 1e-5), plain.layer_norm(x) + x]
    for got, true in zip(ours, want, strict=True):
        np.testing.assert_allclose(to_numpy(got), to_numpy(true), rtol=1e-4, atol=1e-5)


def test_another_stream():
    stream = mx.new_stream(mx.cpu)
    function, values = calls()["attention"]
    with mx.stream(stream):
        got = function(*arrays(values))
    np.testing.assert_allclose(to_numpy(got), to_numpy(function(*arrays(values))), rtol=1e-5, atol=1e-6)


PROGRAM = """
import sys, numpy as np, mlx.core as mx
sys.path.insert(0, "tests")
from backend.kernels import to_numpy, CPU
from backend.test_every_kernel import arrays, calls
np.random.seed(0)
np.savez(sys.argv[1], isa=CPU.isa, **{name: to_numpy(f(*arrays(values))) for name, (f, values) in calls().items()})
"""


LEVELS = {"base": "SSE4.2", "avx2": "AVX2", "avx512": "AVX-512", "amx": "AMX"}


@pytest.mark.parametrize("isa", ["base", "avx2", "avx512"])
def test_every_instruction_set_agrees(isa, tmp_path):
    names = list(LEVELS.values())
    if CPU is None or CPU.isa not in names or names.index(CPU.isa) <= names.index(LEVELS[isa]):
        pytest.skip("this machine has no higher instruction set, or no kernels")
    file = tmp_path / "found.npz"
    environment = {**os.environ, "PYTORCH_TO_MLX_ISA": isa}
    program = "import pytorch_to_mlx.backend\n" + PROGRAM
    done = subprocess.run([sys.executable, "-c", program, str(file)], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = np.load(file)
    assert str(found["isa"]) == LEVELS[isa]
    np.random.seed(0)
    for name, (function, values) in calls().items():
        np.testing.assert_allclose(found[name], to_numpy(function(*arrays(values))), rtol=1e-4, atol=2e-5, err_msg=name)
