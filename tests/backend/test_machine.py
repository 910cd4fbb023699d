"""What doctor shows about the machine."""

import importlib.util

import mlx.core as mx

from pytorch_to_mlx import backend


def test_describe():
    machine = backend.describe()
    assert machine.mlx_version == mx.__version__
    assert machine.gflops and machine.gflops > 0.1
    assert machine.threads >= 1
    assert {part.name for part in machine.parts} >= {"PyTorch"}
    for part in machine.parts:
        assert part.command.startswith("pip install ")


def test_describe_without_a_measurement():
    assert backend.describe(measure=False).gflops is None


def test_parts_that_are_not_installed_are_listed(monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "torch" else real(name))
    (torch,) = (part for part in backend.describe(measure=False).parts if part.name == "PyTorch")
    assert not torch.present and torch.command == "pip install torch"
