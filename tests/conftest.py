"""Every test: seeded, no TF32, one torch thread, warnings are errors (pyproject)."""

import importlib
import json
import os
import re
import sys
from pathlib import Path

os.environ.setdefault("MLX_ENABLE_TF32", "0")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # of PyTorch

import pytest

import pytorch_to_mlx.backend  # noqa: F401  the fast BLAS, before any test module imports mlx.core

ROOT = Path(__file__).parent.parent


@pytest.fixture(autouse=True)
def seeded():
    import mlx.core as mx
    import numpy as np

    np.random.seed(0)
    mx.random.seed(0)


@pytest.fixture
def tone(tmp_path, monkeypatch):
    """The family of ADDING_A_MODEL.md among the models, and a released checkpoint of it in ./tonenet."""
    import torch

    from pytorch_to_mlx import registry

    text = (ROOT / "ADDING_A_MODEL.md").read_text(encoding="utf-8")
    for name, code in re.findall(r"```python (\S+)\n(.*?)```", text, re.S):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(code, encoding="utf-8")
    models = importlib.import_module("pytorch_to_mlx.models")
    monkeypatch.setattr(models, "__path__", [*models.__path__, str(tmp_path / "models")])
    monkeypatch.setattr(registry, "MODELS", tmp_path / "models")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    registry.names.cache_clear()
    from original import ToneNet

    torch.manual_seed(0)
    released = Path("tonenet")
    released.mkdir()
    torch.save(ToneNet().state_dict(), released / "pytorch_model.bin")
    sizes = {"hidden_size": 64, "kernel_size": 400, "hop_length": 160, "num_labels": 12}
    (released / "config.json").write_text(json.dumps({"model_type": "tone", "hidden_act": "gelu", **sizes}))
    yield tmp_path
    registry.names.cache_clear()
    for name in [name for name in sys.modules if name.startswith("pytorch_to_mlx.models.tone") or name == "original"]:
        del sys.modules[name]
