"""Every test: seeded, no TF32, one torch thread, warnings are errors (pyproject)."""

import os

os.environ.setdefault("MLX_ENABLE_TF32", "0")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import pytest

import pytorch_to_mlx.backend  # noqa: F401  the fast BLAS, before any test module imports mlx.core


@pytest.fixture(autouse=True)
def seeded():
    import mlx.core as mx
    import numpy as np

    np.random.seed(0)
    mx.random.seed(0)
