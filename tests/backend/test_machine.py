"""What doctor shows, and the dtype policy."""

import importlib.util
import os

import mlx.core as mx

from pytorch_to_mlx import backend
from pytorch_to_mlx.backend import native, ops
from pytorch_to_mlx.backend.dtype import compute_dtype, on_cpu


def test_describe():
    machine = backend.describe()
    assert machine.mlx_version == mx.__version__
    assert machine.gflops and machine.gflops > 0.1
    assert machine.threads >= 1
    assert {part.name for part in machine.parts} >= {"PyTorch"}
    for part in machine.parts:
        assert part.command.startswith("pip install ")


def test_kernels_that_are_installed_load():
    hidden = os.environ.get("PYTORCH_TO_MLX_NATIVE") == "0"  # make test-plain
    if importlib.util.find_spec("pytorch_to_mlx_cpu") and on_cpu() and not hidden:
        assert native.load()[1] is None


def test_missing_kernels_are_a_problem_with_a_cure(monkeypatch):
    native.load.cache_clear()
    monkeypatch.setenv("PYTORCH_TO_MLX_NATIVE", "0")
    try:
        assert native.load() == (None, "PYTORCH_TO_MLX_NATIVE=0")
        if on_cpu():
            problems = dict(backend.describe(measure=False).problems)
            assert any("PYTORCH_TO_MLX_NATIVE=0" in p and "./csrc" in cure for p, cure in problems.items())
    finally:
        native.load.cache_clear()


def test_kernels_built_for_another_mlx_are_refused_in_words(monkeypatch):
    if native.load()[0] is None:
        return  # there are none
    import pytorch_to_mlx_cpu

    native.load.cache_clear()
    monkeypatch.setattr(pytorch_to_mlx_cpu, "BUILT_FOR_MLX", "0.1.2")
    try:
        module, why = native.load()
        assert module is None and why and "was built for MLX 0.1.2, and this is MLX" in why
        assert any(why in problem and "./csrc" in cure for problem, cure in backend.describe(measure=False).problems)
        assert ops.gelu(mx.array([0.0])).item() == 0
    finally:
        native.load.cache_clear()


def test_half_precision_computes_in_float32_on_a_cpu():
    want = mx.float32 if on_cpu() else mx.bfloat16
    assert compute_dtype(mx.bfloat16) == want
    assert compute_dtype(mx.float32) == mx.float32
    assert compute_dtype(mx.int64) == mx.int64
