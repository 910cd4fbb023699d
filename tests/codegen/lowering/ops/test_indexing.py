"""Slices and indices in their shortest form."""

import mlx.core as mx
import pytest

from pytorch_to_mlx.codegen.graph import Unsupported
from pytorch_to_mlx.codegen.lowering.ops import lower

X = mx.arange(12).reshape(3, 4)
END = 2**63 - 1


@pytest.mark.parametrize("arguments, source", [
    ({"dim": 1, "start": 0, "end": END}, "x"),
    ({"dim": 1, "start": 0, "end": 4}, "x"),
    ({"dim": 0, "start": 1, "end": END}, "x[1:]"),
    ({"dim": -1, "start": -9, "end": 3}, "x[:, -4:3]"),
    ({"dim": 1, "start": 1, "end": -1, "step": 2}, "x[:, 1:-1:2]"),
])  # fmt: skip
def test_slices(write, arguments, source):
    assert write("slice.Tensor", None, {"x": X}, **arguments) == source


def test_index_arrays_that_do_not_lead_need_torch_s_order_of_axes():
    x, index = mx.arange(24).reshape(2, 3, 4), mx.array([2, 0])
    lead = lower("aten.index.Tensor", {"x": x, "indices": [mx.array([1, 0]), index]}, None)
    assert lead.tolist() == x[mx.array([1, 0]), index].tolist()
    split = lower("aten.index.Tensor", {"x": x, "indices": [mx.array([1, 0]), None, index]}, None)
    assert split.tolist() == [x[1, :, 2].tolist(), x[0, :, 0].tolist()]


def test_a_smaller_index_gathers_from_the_front():
    assert lower("aten.gather.default", {"x": X, "dim": 1, "index": mx.array([[3, 0]])}, None).tolist() == [[3, 0]]


def test_one_hot_needs_its_number_of_classes():
    assert lower("aten.one_hot.default", {"x": mx.array([2, 0]), "num_classes": 3}, None).tolist() == [
        [0, 0, 1],
        [1, 0, 0],
    ]
    with pytest.raises(Unsupported, match="depends on the data"):
        lower("aten.one_hot.default", {"x": mx.array([2, 0])}, None)
