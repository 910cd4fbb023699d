"""`int`, `round`, `min`, `max`, `math.ceil` and `math.floor` of a size stay sizes: the source is right at all sizes."""

import argparse
import importlib.util
import math
from math import floor

import mlx.core as mx
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from pytorch_to_mlx import convert
from pytorch_to_mlx.codegen.capture.number_patches import BUILTINS, DynamicInt, _only_converts
from pytorch_to_mlx.codegen.convert_module import load_generated


class Ceil(nn.Module):
    def forward(self, x):
        n = int(math.ceil(x.shape[-1] / 64) * 64)
        return F.pad(x, (0, n - x.shape[-1])).view(x.shape[0], -1, 64).mean(-1)


class Halves(nn.Module):
    def forward(self, x):
        n = int(x.shape[1] * 0.5)
        assert isinstance(n, int | torch.SymInt)
        return x[:, :n].sum(1) + floor(x.shape[1] / 3) + round(x.shape[1] / 4)


class Bounds(nn.Module):
    def forward(self, x, y):
        n = min(x.shape[1], y.shape[1])
        return (x[:, :n] * y[:, :n]).sum(1) + max(x.shape[1], y.shape[1], 12)


def parse(words: list[str]):
    """Read what a script of the same file is called with: `int` is an argument here, as in many files of modules."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--depth", type=int)
    return parser.parse_args(words)


class Side(nn.Module):
    """The side of a square of patches, as by `math.sqrt` and by `float`."""

    def forward(self, x):
        side = math.sqrt(x.shape[1])
        return x.view(x.shape[0], int(side), -1).sum(2) * float(x.shape[1])


@pytest.mark.parametrize("module, shapes, others", [
    (Side(), [(2, 9)], [[(3, 16)], [(1, 4)]]),
    (Ceil(), [(2, 100)], [[(3, 300)], [(2, 64)], [(2, 65)]]),
    (Halves(), [(2, 10)], [[(3, 31)], [(2, 6)], [(2, 18)]]),
    (Bounds(), [(2, 9), (2, 7)], [[(3, 5), (3, 20)], [(2, 20), (2, 5)]]),
])  # fmt: skip
def test_the_source_is_right_at_other_sizes(tmp_path, module, shapes, others):
    """The right values are PyTorch's at the other sizes."""
    result = convert(module, tmp_path / "out", example_inputs=tuple(torch.randn(shape) for shape in shapes))
    result.check()
    assert result.fixed == []
    model = load_generated(tmp_path / "out")
    for other in others:
        inputs = [torch.randn(shape) for shape in other]
        ours = np.array(model(*[mx.array(x.numpy()) for x in inputs]))
        np.testing.assert_allclose(ours, module(*inputs).numpy(), rtol=1e-5, atol=1e-5)


def test_plain_numbers_are_pythons():
    assert DynamicInt("12") == 12 and DynamicInt("ff", 16) == 255 and isinstance(3, DynamicInt)
    assert not isinstance(3.0, DynamicInt) and issubclass(bool, DynamicInt)
    assert BUILTINS["max"]([1, 3], key=lambda x: -x) == 1 and BUILTINS["min"]("b", "a") == "a"
    assert BUILTINS["round"](2.345, 2) == 2.35 and BUILTINS["round"](2.5) == 2


@pytest.mark.parametrize("code, only_converts", [
    ("def f(x, n: int) -> int:\n    return int(x) if isinstance(x, int) else list(map(int, x))", True),
    ("sizes = {int: 1}\ndef f(x):\n    p.add_argument('-n', type=int)", True),
    ("def f(x):\n    return x.to(int)", False),
    ("def f(x):\n    return type(x) is int", False),
    ("def f(x):\n    return zeros(3, dtype=int)", False),
])  # fmt: skip
def test_files_in_which_int_must_be_pythons(tmp_path, monkeypatch, code, only_converts):
    (tmp_path / "uses_int.py").write_text(code)
    spec = importlib.util.spec_from_file_location("uses_int", tmp_path / "uses_int.py")
    assert _only_converts(importlib.util.module_from_spec(spec), "int") is only_converts
