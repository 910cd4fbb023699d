"""What comes out beside tensors: the fields of a dataclass, the items of a kind of dict, sizes and other numbers."""

from collections import OrderedDict
from dataclasses import dataclass

import mlx.core as mx
import numpy as np
import torch
from torch import nn

from pytorch_to_mlx import convert
from pytorch_to_mlx.codegen.convert_module import load_generated


@dataclass
class Result:
    logits: torch.Tensor
    parts: list[torch.Tensor]
    loss: torch.Tensor | None = None


class Named(OrderedDict):
    pass


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, x):
        y = self.layer(x)
        return Named(result=Result(y, [y + 1, y + 2]), input=x)


def test_a_dataclass_comes_out_as_a_dict_of_its_fields(tmp_path):
    module = Model()
    convert(module, tmp_path / "out", example_inputs=torch.randn(2, 4)).check()
    x = torch.randn(3, 4)
    ours = load_generated(tmp_path / "out")(mx.array(x.numpy()))
    with torch.no_grad():
        right = module(x)
    assert set(ours) == {"result", "input"} and set(ours["result"]) >= {"logits", "parts"}
    np.testing.assert_allclose(np.array(ours["result"]["logits"]), right["result"].logits.numpy(), atol=1e-5)
    np.testing.assert_allclose(np.array(ours["result"]["parts"][1]), right["result"].parts[1].numpy(), atol=1e-5)


class Sizes(nn.Module):
    def forward(self, x, mask):
        chosen = x[mask]
        numbers = {"sizes": x.shape, "half": x.shape[0] // 2, "rows": chosen.shape[0], "total": mask.sum().item()}
        return chosen, numbers, 2.5, "name", None, True


def test_numbers_come_out_at_every_size(tmp_path):
    """PyTorch returns the same Python numbers; the proof compares them."""
    masks = torch.tensor([True, False, True, True, False]), torch.tensor([False, True, False])
    convert(Sizes(), tmp_path / "out", example_inputs=(torch.randn(5, 4), masks[0])).check()
    for mask in masks:
        x = torch.randn(len(mask), 7)
        chosen, numbers, *constants = load_generated(tmp_path / "out")(mx.array(x.numpy()), mx.array(mask.numpy()))
        right, right_numbers, *right_constants = Sizes()(x, mask)
        np.testing.assert_array_equal(np.array(chosen), right.numpy())
        assert numbers == {**right_numbers, "sizes": tuple(x.shape)} and constants == right_constants
