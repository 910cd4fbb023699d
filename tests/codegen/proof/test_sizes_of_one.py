"""A size of one at which the original gives something else is refused: torch.export leaves no guard of it."""

import importlib.util

import mlx.core as mx
import numpy as np
import pytest
import torch
from torch import nn

from pytorch_to_mlx import convert, validate


class Branch(nn.Module):
    def forward(self, x):
        return 3 * x if x.shape[0] == 1 else 2 * x


class Squeezed(nn.Module):
    def forward(self, x):
        return 2 * x.squeeze()


class Mean(nn.Module):
    def forward(self, x):
        return x.mean(1) if x.shape[1] > 1 else 5 * x.sum(1)


class Divided(nn.Module):
    def forward(self, x):
        return 2 * x if 64 // (x.shape[1] // 2) > 4 else 3 * x


class Plain(nn.Module):
    def forward(self, x):
        return x.softmax(-1)


FACTORY = """
import torch
from test_sizes_of_one import {name}
def build():
    return {name}(), (torch.randn(3, 4),)
"""


@pytest.mark.parametrize(("kind", "refused"), [(Branch, {0}), (Squeezed, {0, 1}), (Mean, {1}), (Plain, set())])
def test_a_size_of_one_is_right_or_refused(tmp_path, kind, refused):
    result = convert(kind(), tmp_path / "out", example_inputs=(torch.randn(3, 4),))
    result.check()
    assert {text[: len("x.shape[0]")] for text in result.fixed} == {f"x.shape[{axis}]" for axis in refused}
    spec = importlib.util.spec_from_file_location("generated", tmp_path / "out" / "model.py")
    generated = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generated)
    model = generated.load(tmp_path / "out")
    for axis, shape in enumerate([(1, 4), (3, 1)]):
        x = torch.randn(shape)
        if axis in refused:
            with pytest.raises(ValueError, match=rf"x\.shape\[{axis}\] >= 2 only"):
                model(mx.array(x.numpy()))
        else:
            assert np.allclose(model(mx.array(x.numpy())), kind()(x), atol=1e-6)


def test_a_size_of_one_at_which_the_original_divides_by_zero(tmp_path):
    result = convert(Divided(), tmp_path / "out", example_inputs=(torch.randn(3, 4),))
    result.check()
    assert [text.rpartition(" (")[0] for text in result.fixed] == ["64 // (x.shape[1] // 2) > 4"]
    with pytest.raises(ZeroDivisionError):
        Divided()(torch.randn(3, 1))


def test_a_folder_with_refused_sizes_is_validated(tmp_path, monkeypatch):
    """Its model.py is compared with what the original gives now: the refused sizes are in config.json."""
    monkeypatch.syspath_prepend(str(__file__).rpartition("/")[0])
    (tmp_path / "build.py").write_text(FACTORY.format(name="Branch"))
    source = f"{tmp_path / 'build.py'}:build"
    convert(source, tmp_path / "out").check()
    validate(tmp_path / "out", source).check()
