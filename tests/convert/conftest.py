"""The made-up family, installed for one test."""

import importlib

import pytest
import torch
import toy_net
import toy_torch

from pytorch_to_mlx import registry


@pytest.fixture
def family(tmp_path, monkeypatch):
    """The folder of the family `toy-net`, which exists only for this test."""
    models = importlib.import_module("pytorch_to_mlx.models")
    monkeypatch.setattr(models, "__path__", [*models.__path__])
    monkeypatch.setattr(registry, "MODELS", registry.MODELS)
    folder = toy_net.write_family(tmp_path / "models")
    toy_net.install(tmp_path / "models")
    yield folder
    registry.names.cache_clear()
    toy_net.forget()


@pytest.fixture
def net():
    torch.manual_seed(0)
    return toy_torch.Net().eval()


@pytest.fixture
def source(tmp_path, family, net):
    """A folder with the PyTorch checkpoint, its config.json and a file beside."""
    return toy_torch.write_checkpoint(tmp_path / "src", net)
