"""Questions about values: assertions pass, in every form of writing them; branches are refused with what helps."""

from pathlib import Path

import pytest
import torch
from torch import nn
from toy_assertions import mixed, negated

from pytorch_to_mlx.codegen.capture.export import capture
from pytorch_to_mlx.errors import FormatError


class Function(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def raising(x):
    if torch.isnan(x).any() or not torch.isfinite(x).all():
        raise ValueError("bad")
    return x * 2


def with_else(x):
    if x.min().item() < -1e6:
        raise RuntimeError("low")
    elif torch.isfinite(x).all():
        y = x * 2
    else:
        raise RuntimeError("not finite")
    return y


def of_torch(x):
    torch._assert(torch.isfinite(x).all(), "bad")
    torch._assert(x.max().item() < 1e6, "large")
    return x * 2


def logging(x):
    if bool((x != x).any()):
        print("NaN")
    return x * 2


@pytest.mark.parametrize("function, count", [
    (negated, 1), (mixed, 1), (raising, 1), (with_else, 2), (of_torch, 2), (logging, 1),
])  # fmt: skip
def test_assertions_pass_and_are_noted(function, count):
    captured = capture(Function(function), (torch.randn(2, 3),))
    assert len(captured.dropped) == count and all(
        text.startswith(f"{Path(function.__code__.co_filename).name}:") for text in captured.dropped
    )
    assert {node.op for node in captured.graph.nodes} >= {"aten.mul.Tensor"}


def branching(x):
    if x.sum() > 0:
        return x * 2
    return x


def choosing(x):
    return x * 2 if x.mean() > 0 else x


def counting(x):
    return x[:, : int(x.max())]


def computing(x):
    if torch.isnan(x).any():
        x = torch.nan_to_num(x)
    return x


WHERE = "torch.where(condition, a, b)"


@pytest.mark.parametrize("function, line, question, fix", [
    (branching, 1, "`bool(x.sum() > 0)`", WHERE),
    (choosing, 1, "`bool(x.mean() > 0)`", WHERE),
    (computing, 1, "`bool(torch.isnan(x).any())`", WHERE),
    (counting, 1, "`return x[:, :int(x.max())]`", "a mask up to the longest length"),
])  # fmt: skip
def test_branches_are_refused_with_line_question_and_fix(function, line, question, fix, capfd):
    with pytest.raises(FormatError) as raised:
        capture(Function(function), (torch.randn(2, 3),))
    assert raised.value.where == f"{__file__}:{function.__code__.co_firstlineno + line}"
    assert question in raised.value.what and fix in (raised.value.fix or "") and not raised.value.details
    assert capfd.readouterr() == ("", ""), "torch prints its graph"
