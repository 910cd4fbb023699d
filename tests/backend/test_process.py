"""What the kernels owe the process: its floating-point mode, thread variables, the same bits from any thread count."""

import os
import platform
import subprocess
import sys

import mlx.core as mx
import numpy as np
import pytest
from backend.kernels import CPU, random, to_numpy

from pytorch_to_mlx.backend import native, ops

SUBNORMALS = """
import numpy as np
tiny = np.full(64, 1e-40, np.float32)
def kept():
    return bool((tiny * np.float32(0.5) > 0).all()) and float(np.float64(1e-310) / 2) > 0
assert kept()
import pytorch_to_mlx.backend
assert kept()
import mlx.core as mx
from pytorch_to_mlx.backend import ops
x = mx.random.normal((300, 64))
mx.eval(ops.gelu(x), ops.softmax(x), ops.linear(x, x), x @ x.T)
assert kept()
"""


def run(program: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, **environment}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_importing_and_computing_leave_the_floating_point_mode():
    run(SUBNORMALS)


MAPPED_ALONE = """
import ctypes, numpy as np
import pytorch_to_mlx.backend
from pytorch_to_mlx.backend import native
native.load()
class Use(ctypes.Structure):
    names = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"
    _fields_ = [(name, ctypes.c_size_t) for name in names.split()]
use = ctypes.CDLL(None).mallinfo2
use.restype = Use
before = use().hblks
array = np.ones(2**21)
print(use().hblks - before)
"""


def test_large_arrays_reuse_memory_unless_the_user_says_otherwise():
    if CPU is None or not sys.platform.startswith("linux") or platform.libc_ver()[0] != "glibc":
        pytest.skip("only the kernels set a malloc policy, and only glibc's")
    assert run(MAPPED_ALONE) == "0"
    assert run(MAPPED_ALONE, MALLOC_MMAP_THRESHOLD_="1000000") == "1"


@pytest.mark.parametrize("name", ["OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"])
def test_thread_variables_are_followed(name):
    if CPU is None:
        pytest.skip("MLX's own ops run on one thread")
    others = {"OPENBLAS_NUM_THREADS": "", "OMP_NUM_THREADS": "", "MKL_NUM_THREADS": "", name: "3"}
    program = "import pytorch_to_mlx.backend as b; print(b.describe(measure=False).threads)"
    assert run(program, **others) == "3"


def quantized(bits: int):
    w, scales, biases = mx.quantize(mx.array(random(96, 256)), group_size=64, bits=bits)
    return lambda x: ops.quantized_matmul(x, w, scales, biases, group_size=64, bits=bits)


def products() -> dict:
    """name: (function of one array, that array)."""
    wide, square = mx.array(random(48, 11, 48)), mx.array(random(16, 3, 3, 12))
    matrix, bias = mx.array(random(96, 256)), mx.array(random(96))
    long = random(1, 900, 48)
    return {
        "conv1d by Winograd": (lambda x: ops.conv1d(x, wide, bias[:48], padding=5), long),
        "conv1d by Winograd, dilated": (lambda x: ops.conv1d(x, wide, padding=15, dilation=3, add=x), long),
        "conv1d with a stride": (lambda x: ops.conv1d(x, wide, stride=2), long),
        "conv_transpose1d": (lambda x: ops.conv_transpose1d(x, wide, stride=4, padding=3), long),
        "conv2d": (lambda x: ops.conv2d(x, square, padding=1), random(2, 40, 33, 12)),
        **{f"linear, {n} rows": (lambda x: ops.linear(x, matrix, bias), random(n, 256)) for n in (1, 5, 200)},
        **{f"{bits} bits, {n} rows": (quantized(bits), random(n, 256)) for bits in (8, 4) for n in (1, 5, 200)},
    }


@pytest.mark.parametrize("name", list(products()))
def test_threads_change_no_product(name):
    if CPU is None:
        pytest.skip("MLX's own ops run on one thread")
    function, x = products()[name]
    want = to_numpy(function(mx.array(x)))
    threads = CPU.threads()
    try:
        for n in (1, 2, 5):
            CPU.set_threads(n)
            np.testing.assert_array_equal(to_numpy(function(mx.array(x))), want)
    finally:
        CPU.set_threads(threads)


@pytest.mark.parametrize("name", list(products()))
def test_products_are_those_of_mlx(name, monkeypatch):
    function, x = products()[name]
    got = to_numpy(function(mx.array(x)))
    monkeypatch.setattr(ops, "kernels", lambda: None)
    want = to_numpy(function(mx.array(x)))
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5 * np.abs(want).max())
    assert native.load()[0] is CPU


def test_one_thread_lasts_until_the_last_leaves():
    if CPU is None:
        pytest.skip("MLX's own ops run on one thread")
    threads = CPU.threads()
    try:
        CPU.set_threads(3)
        with native.one_thread():
            with native.one_thread():
                assert CPU.threads() == 1
            assert CPU.threads() == 1
        assert CPU.threads() == 3
        with pytest.raises(KeyError), native.one_thread():
            raise KeyError
        assert CPU.threads() == 3
    finally:
        CPU.set_threads(threads)
