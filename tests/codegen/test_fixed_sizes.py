"""A converted module is right at every size that it takes; others it refuses, and the report names the sizes."""

import mlx.core as mx
import numpy as np
import pytest
import torch
from torch import nn

from pytorch_to_mlx import analyze, convert
from pytorch_to_mlx.codegen.convert_module import load_generated


class Loop(nn.Module):
    def forward(self, x):
        h = torch.zeros_like(x[:, 0])
        for t in range(x.shape[1]):
            h = torch.tanh(x[:, t] * 1.5**t + h)  # no step further than the round before: not written as a loop
        return h


class Branch(nn.Module):
    def forward(self, x):
        return x * 2 if x.shape[1] > 6 else x + 1


class Equal(nn.Module):
    def forward(self, x, y):
        return x * 2 + y.sum() if x.shape[1] == y.shape[0] else x


class Cut(nn.Module):
    def forward(self, x):
        return x[:, :10].sum(1) * x[:, :10].shape[1]


class Last(nn.Module):
    def forward(self, x):
        return x[:, 7] - x[:, -9]


class Nested(nn.Module):
    def forward(self, parts):
        return sum(parts["rows"][1][:, i] * 2.0**i for i in range(parts["rows"][1].shape[1]))


CASES = [
    (Loop(), [(2, 5, 6)], [(2, 8, 6)], "axis 1 of x is 5 only"),
    (Branch(), [(2, 5)], [(2, 9)], "x.shape[1] <= 6"),
    (Branch(), [(2, 9)], [(2, 5)], "x.shape[1] > 6"),
    (Equal(), [(2, 5), (5,)], [(2, 5), (6,)], "x.shape[1] == y.shape[0]"),
    (Cut(), [(2, 5)], [(2, 20)], "x.shape[1] <= 10"),
    (Cut(), [(2, 20)], [(2, 5)], "x.shape[1] >= 10"),
    (Last(), [(2, 20)], [(2, 6)], "x.shape[1] >= 9"),
]


@pytest.mark.parametrize("module, shapes, others, sentence", CASES)
def test_sizes_that_the_capture_fixed_are_refused_by_name(tmp_path, module, shapes, others, sentence):
    """PyTorch takes the other sizes and computes something else there (a longer loop, another branch, a cut)."""
    inputs = tuple(torch.randn(shape) for shape in shapes)
    result = convert(module, tmp_path / "out", example_inputs=inputs)
    result.check()
    assert any(text.startswith(sentence) for text in result.fixed)
    assert sentence in result.summary() and sentence in (tmp_path / "out" / "README.md").read_text()
    assert sentence in (tmp_path / "out" / "report.md").read_text()
    model = load_generated(tmp_path / "out")
    bigger = [(3, *shape[1:]) if len(shape) > 1 else shape for shape in shapes]  # the batch may vary
    allowed = [torch.randn(shape) for shape in bigger]
    ours = model(*[mx.array(x.numpy()) for x in allowed])
    np.testing.assert_allclose(np.array(ours), module(*allowed).numpy(), rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match="convert again with an example of that size"):
        model(*[mx.ones(shape) for shape in others])


def test_an_axis_inside_a_dict_is_named_as_the_caller_does(tmp_path):
    example = {"rows": [torch.randn(2), torch.randn(2, 5)]}
    convert(Nested(), tmp_path / "out", example_inputs=(example,))
    with pytest.raises(ValueError, match=r"axis 1 of parts\['rows'\]\[1\] is 5 only, not 7"):
        load_generated(tmp_path / "out")({"rows": [mx.ones([2]), mx.ones([2, 7])]})


def test_analyze_says_what_convert_says_and_no_name_of_torch_is_shown(tmp_path):
    x = torch.randn(2, 5, 6)
    analysis = analyze(Loop(), example_inputs=x)
    result = convert(Loop(), tmp_path / "out", example_inputs=x)
    assert analysis.fixed == result.fixed == ["axis 1 of x is 5 only"]
    assert analysis.inputs == result.inputs == {"x": "float32[x[0], 5, x[2]]"}
    assert [one["size"] for one in result.outputs] == ["as captured", "x[0]=3, x[2]=8"]


class Strided(nn.Module):
    """Its four samples become one frame, which is squeezed, or broadcast over five."""

    def __init__(self, last):
        super().__init__()
        self.frames = nn.Conv1d(3, 4, 3, stride=4, padding=1)
        self.weight = nn.Parameter(torch.randn(4, 5))
        self.last = last

    def forward(self, x):
        y = self.frames(x)
        if self.last == "squeeze":
            return y.squeeze(2)
        return y * self.weight if self.last == "product" else y.expand(-1, -1, 5)


@pytest.mark.parametrize("last", ["squeeze", "product", "expand"])
def test_a_computed_size_that_must_be_one(tmp_path, last):
    result = convert(Strided(last), tmp_path / "out", example_inputs=torch.randn(2, 3, 4))
    result.check()
    assert any(text.startswith("(x.shape[2] - 1) // 4 + 1 == 1 (test_fixed_sizes.py:") for text in result.fixed)
    model = load_generated(tmp_path / "out")
    assert model(mx.zeros((5, 3, 3))).shape[:2] == (5, 4)
    with pytest.raises(ValueError, match=r"\(x.shape\[2\] - 1\) // 4 \+ 1 == 1"):
        model(mx.zeros((2, 3, 8)))
