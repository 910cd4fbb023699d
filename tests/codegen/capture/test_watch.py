"""Arguments of submodules, values of a graph, and a module that is as before."""

import pytest
import torch
from torch import nn

from pytorch_to_mlx.codegen.capture.watch import (
    Values,
    fingerprint,
    named_tensors,
    same_tensor,
    unchanged,
    watch_arguments,
    watch_calls,
)


class Twice(nn.Module):
    """Calls one layer twice, and counts its calls in a buffer."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 3)
        self.calls = nn.Buffer(torch.zeros(1))

    def forward(self, x):
        self.calls.add_(1)
        return self.layer(input=self.layer(x))


def test_fingerprints_tell_tensors_apart():
    x = torch.randn(3, 4)
    assert fingerprint(x) == fingerprint(x.clone()) == fingerprint(x.t().contiguous().t())
    others = [x.t(), x.double(), x.reshape(4, 3), -x]
    assert len({fingerprint(other) for other in [x, *others]}) == 5
    assert fingerprint(3) is None and fingerprint(torch.eye(2).to_sparse()) is None
    assert fingerprint(x) == fingerprint(nn.Parameter(x)) != fingerprint(x + 1e-6)
    assert fingerprint(x.bool()) != fingerprint(x.bool().to(torch.uint8))
    assert (
        fingerprint(torch.zeros(2, dtype=torch.bfloat16))
        and fingerprint(torch.zeros(0))
        and fingerprint(torch.ones(()))
    )


def test_every_call_of_a_submodule_is_watched():
    module, x = Twice(), torch.randn(2, 3)
    between = module.layer(x).detach()
    result, arguments = watch_arguments(module, (x,), {})
    assert torch.equal(result, module.layer(between))
    assert arguments == {
        ("layer", 0): [("input", fingerprint(x))],
        ("layer", 1): [("input", fingerprint(between))],
    }
    calls = watch_calls(module, {"layer"}, (x,), {})
    ((name, tensor),), (output,) = calls["layer", 0]
    assert name == "input" and tensor is x and same_tensor(output, between)
    assert list(calls) == [("layer", 0), ("layer", 1)]
    assert module.calls == 0 and not module.layer._forward_hooks and not module.layer._forward_pre_hooks


def test_hooks_are_removed_after_an_error():
    module = Twice()
    with pytest.raises(RuntimeError):
        watch_arguments(module, (torch.randn(2, 5),), {})
    assert module.calls == 0 and not module.layer._forward_pre_hooks


def test_buffers_are_restored():
    module = Twice()
    buffer = module.calls
    with unchanged(module):
        module.calls.add_(5)
        module.calls = torch.ones(2)
    assert module.calls is buffer and module.calls == 0


def test_tensors_by_parameter_name():
    class Many(nn.Module):
        def forward(self, x, states, flag=True, **options):
            pass

    x = torch.zeros(1)
    names = [name for name, _ in named_tensors(Many(), (x, (x, x)), {"mask": x, "flag": False})]
    assert names == ["x", "states_0", "states_1", "mask"]
    assert [name for name, _ in named_tensors(nn.ReLU(), (x, x), {})] == ["arg_0", "arg_1"]  # forward takes one


def test_values_of_chosen_nodes():
    module, x = nn.Sequential(nn.Linear(3, 4), nn.ReLU()).eval(), torch.randn(2, 3)
    program = torch.export.export(module, (x,))
    names: list[str] = []
    values = Values(program, {"linear"}, watch=names.append).compute([x])
    assert names == list(values) == ["linear"] and torch.equal(values["linear"], module[0](x))


def test_equal_tensors():
    x = torch.ones(2)
    assert same_tensor(x, x.clone()) and not same_tensor(x, x.double()) and not same_tensor(x, torch.ones(2, 1))
    assert not same_tensor(x, [1.0, 1.0])
