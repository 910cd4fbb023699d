"""Exports: which sizes stay dynamic, what is tried, and the error where nothing succeeds."""

import pytest
import torch
from torch import nn

from pytorch_to_mlx.codegen.capture.export import capture
from pytorch_to_mlx.codegen.sources.module_source import from_object
from pytorch_to_mlx.errors import FormatError


def test_every_axis_of_every_tensor_is_dynamic():
    class Pair(nn.Module):
        def forward(self, pair, *, scale):
            return pair[0] * scale + pair[1].sum()

    module = Pair().train()
    captured = capture(module, ((torch.randn(2, 3), torch.randn(5)),), {"scale": 2.0})
    sizes = [size for node in captured.graph.inputs() for size in node.meta.shape]
    assert len(set(sizes)) == 3 and all(size.is_Symbol for size in sizes)
    assert captured.how == "torch.export" and not module.training


def test_the_arguments_of_submodules_are_recorded():
    captured = capture(nn.Sequential(nn.Linear(3, 4), nn.ReLU()), (torch.randn(2, 3),))
    assert captured.traced_arguments["0", 0] == [("input", torch.float32, (2, 3))]
    assert captured.traced_arguments["1", 0] == [("input", torch.float32, (2, 4))]


def test_sizes_that_torch_cannot_reason_about_stay_and_the_batch_is_dynamic():
    class Unsolved(nn.Module):
        def forward(self, x):
            if isinstance(x.shape[1], torch.SymInt):
                raise NotImplementedError("the inequality cannot be solved")
            return x * 2

    captured = capture(Unsolved(), (torch.randn(2, 8, 3),))
    batch, *others = captured.graph.inputs()[0].meta.shape
    assert others == [8, 3] and not isinstance(batch, int) and "first axes" in captured.how


def test_the_error_of_every_attempt_is_shown():
    class Refusing(nn.Module):
        def forward(self, x):
            if torch.compiler.is_exporting():
                raise ValueError("all dynamic" if isinstance(x.shape[1], torch.SymInt) else "the first axis alone")
            return x

    with pytest.raises(FormatError, match="all dynamic") as raised:
        capture(Refusing(), (torch.randn(2, 8),))
    (other,) = raised.value.details
    assert "first axes" in other and "the first axis alone" in other


def test_the_error_names_the_line_that_cannot_be_exported():
    class Branching(nn.Module):
        def forward(self, x):
            return x * 2 if x.sum() > 0 else x

    with pytest.raises(FormatError, match=r"torch\.export cannot capture Branching: ") as raised:
        capture(Branching(), (torch.randn(2, 3),))
    line = Branching.forward.__code__.co_firstlineno + 1
    assert raised.value.where == f"{__file__}:{line}"


def test_example_inputs_on_which_the_module_does_not_run():
    with pytest.raises(FormatError, match=r"^Linear does not run on its example inputs: RuntimeError: mat1"):
        capture(nn.Linear(3, 4), (torch.randn(2, 5),))
    with pytest.raises(FormatError, match=r"TypeError: .* example inputs on which it runs"):
        capture(nn.Linear(3, 4), (torch.randn(2, 3), 1))


def test_torchscript_is_refused():
    module = nn.Sequential(nn.Linear(3, 4), torch.jit.script(nn.ReLU()))
    for one in (module, torch.jit.trace(nn.Linear(3, 4), torch.randn(2, 3))):
        with pytest.raises(FormatError, match=r"TorchScript; give the original nn\.Module"):
            from_object(one, torch.randn(2, 3), None).entries()
