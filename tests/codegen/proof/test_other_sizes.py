"""codegen/proof/other_sizes.py: the sizes at which a conversion is tried again."""

import torch
from torch import nn

from pytorch_to_mlx.codegen.capture.methods import size_hints
from pytorch_to_mlx.codegen.proof.other_sizes import _grow, other_sizes, other_values
from pytorch_to_mlx.codegen.sources.module_source import ModuleSource


def examples(module, *args):
    (entry,) = ModuleSource(module, args).entries()
    hints = size_hints(entry)
    return hints, list(other_sizes(entry.captured, module, entry.args, entry.kwargs, hints))


def test_all_sizes_grow_at_once_and_values_stay():
    class Add(nn.Module):
        def forward(self, x, y):
            return x.sum(-1) + y.sum()

    x, y = torch.arange(6.0).view(2, 3), torch.arange(4.0)
    hints, [(label, (grown_x, grown_y), kwargs)] = examples(Add(), x, y)
    assert sorted(hints.values()) == [2, 3, 4] and kwargs == {}
    assert len(label) == 3
    assert sorted([*grown_x.shape, *grown_y.shape]) == sorted(n + 1 + list(hints.values()).index(n) for n in (2, 3, 4))
    assert torch.equal(grown_x[:2, :3], x) and grown_x.unique().numel() == grown_x.numel()  # none are equal
    assert torch.equal(grown_y[:4], y) and 0 < grown_y[4] < 3


def test_ids_and_masks_repeat_and_lengths_in_order_stay_so():
    generator = torch.Generator()
    assert _grow(torch.tensor([[3, 1, 2]]), 1, 5, generator).tolist() == [[3, 1, 2, 3, 1]]
    assert _grow(torch.tensor([[0.0, 1, 1, 1]]), 1, 5, generator).tolist() == [[0, 1, 1, 1, 0]]
    assert _grow(torch.tensor([7, 5, 3]), 0, 5, generator).tolist() == [7, 7, 5, 5, 3]


def test_sizes_that_must_divide_are_doubled():
    class Halves(nn.Module):
        def forward(self, x):
            return x.view(2, -1).sum(0)

    _, found = examples(Halves(), torch.randn(6))
    assert [args[0].shape[0] for _, args, _ in found] == [12]


def test_nothing_where_no_size_is_dynamic():
    module = nn.Sequential(nn.Flatten(0), nn.Linear(3, 2))
    assert examples(module, torch.randn(3))[1] == []


def test_values_are_turned_round_where_sizes_depend_on_data():
    class Picked(nn.Module):
        def forward(self, x, mask):
            if not torch.compiler.is_exporting() and not mask[0]:
                raise ValueError("the first row is never masked")
            return x[mask]

    def others(*values):
        x, mask = torch.arange(4.0), torch.tensor(values)
        (entry,) = ModuleSource(Picked(), (x, mask)).entries()
        return list(other_values(Picked(), entry.args, entry.kwargs, size_hints(entry)))

    (((x, mask), _),) = others(True, False, True, True)
    assert x.tolist() == [3, 2, 1, 0] and mask.tolist() == [True, True, False, True]
    assert others(True, True, False, False) == []  # the original refuses them
    (entry,) = ModuleSource(nn.ReLU(), (torch.ones(2, 3),)).entries()
    assert list(other_values(nn.ReLU(), entry.args, entry.kwargs, size_hints(entry))) == []
