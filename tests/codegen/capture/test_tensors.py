"""torch tensors as MLX arrays and numpy, with their dtypes and values."""

import mlx.core as mx
import numpy as np
import pytest
import torch

from pytorch_to_mlx.codegen.capture.tensors import dtype_name, flat_tensors, place_of_values, to_mlx, to_numpy
from pytorch_to_mlx.codegen.graph import DTYPES, Unsupported


@pytest.mark.parametrize("name", [name for name in DTYPES if name != "float64"])
def test_values_and_dtypes_are_kept(name):
    tensor = torch.tensor([[0, 1, 3], [1, 0, 2]]).to(getattr(torch, name)).t()
    array = to_mlx(tensor)
    assert array.dtype == DTYPES[name] == DTYPES[dtype_name(tensor.dtype)] and array.shape == (3, 2)
    np.testing.assert_array_equal(to_numpy(array), to_numpy(tensor))


def test_bfloat16_bits_are_kept():
    tensor = torch.tensor([1.0, -3.140625, float("inf"), 1e-40]).bfloat16()
    assert to_mlx(tensor).view(mx.uint16).tolist() == tensor.view(torch.uint16).tolist()
    assert to_numpy(tensor).dtype == np.float32 and to_numpy(to_mlx(tensor)).tolist() == tensor.tolist()


def test_lazy_conjugates_are_resolved():
    tensor = torch.tensor([1 + 2j]).conj()
    assert tensor.is_conj() and to_mlx(tensor).item() == 1 - 2j == to_numpy(tensor).item()


@pytest.mark.parametrize("tensor", [torch.zeros(2, dtype=torch.complex128), torch.eye(2).to_sparse()])
def test_tensors_that_mlx_lacks_are_refused(tensor):
    with pytest.raises(Unsupported, match="does not exist in MLX"):
        to_mlx(tensor)


def test_tied_tensors_lie_in_one_place():
    x = torch.randn(4, 4)
    assert place_of_values(x) == place_of_values(x.detach()) != place_of_values(x.clone())
    assert place_of_values(x) != place_of_values(x.t()) and place_of_values(x) != place_of_values(x[1:])
    assert place_of_values(torch.zeros(0, 4)) is None and place_of_values(x.to_sparse()) is None


def test_tensors_of_a_tree_in_order():
    x, y = torch.zeros(1), torch.ones(2)
    tensors = flat_tensors(({"a": x, "b": 3}, [None, y]))
    assert tensors[0] is x and tensors[1] is y and len(tensors) == 2
