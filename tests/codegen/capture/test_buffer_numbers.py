"""Arithmetic on integer buffers stays symbolic: padding that is computed from it follows the length."""

import mlx.core as mx
import pytest
import torch
from torch import nn

from pytorch_to_mlx.codegen import convert
from pytorch_to_mlx.codegen.capture.buffer_numbers import RULES, Ratio, symbolic_buffers
from pytorch_to_mlx.codegen.capture.export import capture
from pytorch_to_mlx.codegen.convert_module import load_generated


class Padded(nn.Module):
    """Pads to whole strides, as the convolutions of audio codecs: its numbers are in buffers."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(3, 3, 5, 3)
        self.stride = nn.Buffer(torch.tensor(3), persistent=False)
        self.kernel_size = nn.Buffer(torch.tensor(5), persistent=False)
        self.padding_total = self.kernel_size - self.stride

    def forward(self, x):
        length = x.shape[-1]
        frames = torch.ceil((length - self.kernel_size + self.padding_total) / self.stride + 1).to(torch.int64) - 1
        end = frames * self.stride + self.kernel_size - self.padding_total - length
        return self.conv(nn.functional.pad(x, (self.padding_total, end)))


def test_padding_computed_from_buffers(tmp_path):
    torch.manual_seed(0)
    module = nn.Sequential(Padded(), Padded())
    result = convert(module, tmp_path / "out", (torch.randn(2, 3, 32),))
    result.check()
    assert result.outputs[1]["size"], result.outputs
    captured = capture(module, (torch.randn(2, 3, 32),))
    for length in (31, 33, 34, 41):
        x = torch.randn(2, 3, length)
        torch.testing.assert_close(captured.program.module()(x), module(x))


def test_a_number_that_the_module_changes_is_not_fixed():
    class Counter(nn.Module):
        def __init__(self):
            super().__init__()
            self.calls = nn.Buffer(torch.tensor(1))

        def forward(self, x):
            self.calls.add_(1)
            return nn.functional.pad(x, (0, self.calls * 2))

    captured = capture(Counter(), (torch.randn(2, 3),))
    assert any(node.op == "aten.item.default" for node in captured.graph.nodes)


@pytest.mark.parametrize("name, operands, result", [
    ("add", (3, 4), 7),
    ("add", (Ratio(1, 2), 3), Ratio(7, 2)),
    ("add", (Ratio(1, 2), Ratio(1, 2)), None),  # not needed, so not computed
    ("rsub", (2, 5), 3),
    ("sub", (5, Ratio(1, 2)), Ratio(9, 2)),
    ("mul", (Ratio(1, 2), 2), None),
    ("div", (7, 2), Ratio(7, 2)),
    ("div", (7, -2), None),
    ("ceil", (Ratio(7, 2),), 4),
    ("ceil", (Ratio(-7, 2),), -3),
    ("neg", (Ratio(7, 2),), Ratio(-7, 2)),
])  # fmt: skip
def test_rules(name, operands, result):
    assert RULES[name](*operands) == result


def test_pad_takes_the_number_of_a_buffer():
    module = nn.Module()
    module.n = nn.Buffer(torch.tensor(3))
    pads = []

    class Recorder(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            if func is nn.functional.pad:
                pads.append(args[1])
            return func(*args, **(kwargs or {}))

    with Recorder(), symbolic_buffers(module):
        nn.functional.pad(torch.ones(2), (module.n - 1, torch.ceil(module.n / 2).to(torch.int64)))
        module.n.add_(1)
        nn.functional.pad(torch.ones(2), (0, module.n))
    assert pads[0] == (2, 2) and all(type(size) is int for size in pads[0])
    assert isinstance(pads[1][1], torch.Tensor)  # it changed in place: its number is not known any more


class Frames(nn.Module):
    """Predicts some frames at a time, once it is initialised: how many, and whether, are in buffers."""

    def __init__(self, initialised: bool, counts: bool = False):
        super().__init__()
        self.layer = nn.Linear(4, 6)
        self.register_buffer("frames", torch.tensor(2, dtype=torch.int32))
        self.register_buffer("initialised", torch.tensor([initialised]))
        self.register_buffer("calls", torch.zeros(1, dtype=torch.long))
        self.counts = counts

    def forward(self, x):
        if not self.initialised:
            x = x - x.mean()
        n_calls = self.calls.item()
        if self.counts:
            self.calls += 1
            return x + n_calls
        parts = [self.layer(x[:, t]) for t in range(0, 4, self.frames.item())]
        return torch.stack(parts, 1)[..., : self.frames]


@pytest.mark.parametrize("initialised", [True, False])
def test_numbers_and_flags_are_read_from_buffers(tmp_path, initialised):
    """The right values are PyTorch's."""
    convert(Frames(initialised), tmp_path / "out", (torch.randn(3, 5, 4),)).check()


def test_a_number_that_the_module_changes_after_it_was_read_is_read_anew(tmp_path):
    """The right values are 0 and 1: how many calls there were before."""
    module = Frames(True, counts=True)
    convert(module, tmp_path / "out", (torch.randn(3, 5, 4),)).check()
    model = load_generated(tmp_path / "out")
    assert [float(model(mx.zeros((1, 1, 4)))[0, 0, 0]) for _ in range(2)] == [0.0, 1.0]
