"""The kernels are loaded once, or the reason why not is a problem that doctor shows."""

import importlib.util
import os

import mlx.core as mx
import pytest

from pytorch_to_mlx import backend
from pytorch_to_mlx.backend import native, ops
from pytorch_to_mlx.backend.dtype import on_cpu


@pytest.fixture
def fresh():
    """A process in which the kernels have not been loaded yet."""
    native.load.cache_clear()
    yield
    native.load.cache_clear()


def test_kernels_that_are_installed_load():
    if os.environ.get("PYTORCH_TO_MLX_NATIVE") == "0":
        pytest.skip("the kernels are switched off")
    if not importlib.util.find_spec("pytorch_to_mlx_cpu"):
        pytest.skip("the kernels are not installed")
    module, reason = native.load()
    assert reason is None and native.kernels() is (module if on_cpu() else None)


def test_switched_off_kernels_are_a_problem_with_a_fix(monkeypatch, fresh):
    monkeypatch.setenv("PYTORCH_TO_MLX_NATIVE", "0")
    assert native.load() == (None, "PYTORCH_TO_MLX_NATIVE=0") and native.kernels() is None
    if on_cpu():
        problems = dict(backend.describe(measure=False).problems)
        assert any(
            "PYTORCH_TO_MLX_NATIVE=0" in p and fix == "unset PYTORCH_TO_MLX_NATIVE" for p, fix in problems.items()
        )


def test_kernels_that_are_not_installed_are_named(monkeypatch, fresh):
    monkeypatch.delenv("PYTORCH_TO_MLX_NATIVE", raising=False)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert native.load() == (None, "the package pytorch-to-mlx-cpu is not installed")


def test_kernels_built_for_another_mlx_are_refused_in_words(monkeypatch, request):
    if native.load()[0] is None:
        pytest.skip("the kernels are not here")
    request.getfixturevalue("fresh")
    import pytorch_to_mlx_cpu

    monkeypatch.setattr(pytorch_to_mlx_cpu, "BUILT_FOR_MLX", "0.1.2")
    module, reason = native.load()
    assert module is None and reason and "was built for MLX 0.1.2, and this is MLX" in reason
    assert any(reason in problem and "./csrc" in fix for problem, fix in backend.describe(measure=False).problems)
    assert ops.gelu(mx.array([0.0])).item() == 0


def test_kernels_of_another_version_are_refused_in_words(monkeypatch, request):
    if native.load()[0] is None:
        pytest.skip("the kernels are not here")
    request.getfixturevalue("fresh")
    import pytorch_to_mlx_cpu

    monkeypatch.setattr(pytorch_to_mlx_cpu, "__version__", "0.1.0")
    assert native.load() == (None, "pytorch-to-mlx-cpu is version 0.1.0, and 0.5.0 is needed")
    assert any("0.1.0" in problem and "./csrc" in fix for problem, fix in backend.describe(measure=False).problems)


def test_no_kernel_is_used_off_the_cpu(monkeypatch):
    monkeypatch.setattr(native, "on_cpu", lambda: False)
    assert native.kernels() is None
