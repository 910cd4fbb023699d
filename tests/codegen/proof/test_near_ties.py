"""Rounding decides near ties; a wrong result is still wrong."""

import numpy as np
import pytest
import torch
from torch import nn

from pytorch_to_mlx import convert
from pytorch_to_mlx.codegen.proof.compare import agree
from pytorch_to_mlx.codegen.proof.near_ties import judge_near_ties
from pytorch_to_mlx.codegen.proof.outputs import run_reference


class Mask(nn.Module):
    def forward(self, x):
        return x * 1.7 > 0.51


class Best(nn.Module):
    def forward(self, scores, rows):
        return rows[scores.softmax(0).topk(2).indices]


def judge(module, ours, *args):
    reference = run_reference(module, args, {})
    arrays = [np.asarray(output) for output in ours]
    agreements = [agree(array, output.numpy()) for array, output in zip(arrays, reference.float32, strict=True)]
    return judge_near_ties(
        agreements, arrays, lambda args, kwargs: run_reference(module, args, kwargs), args, {}, "float32"
    )


def test_a_threshold_almost_met_is_decided_by_rounding():
    torch.manual_seed(0)
    x = torch.rand(1000)
    x[5] = 0.3
    right = Mask()(x).numpy()
    (one,) = judge(Mask(), [~right], x)
    assert not one.ok and not one.near_tie  # no run gives all of them turned round
    right[5] = not right[5]
    (one,) = judge(Mask(), [right], x)
    assert one.ok and one.near_tie


def test_rows_of_almost_equal_scores_may_change_places():
    scores, rows = torch.tensor([0.1, 0.7000001, 0.7, -0.3]), torch.randn(4, 3)
    swapped = rows[[2, 1]].numpy()
    (one,) = judge(Best(), [swapped], scores, rows)
    assert one.ok and one.near_tie
    (one,) = judge(Best(), [rows[[0, 1]].numpy()], scores, rows)
    assert not one.ok and not one.near_tie


def test_numbers_written_by_hand_do_not_move():
    class Above(nn.Module):
        def forward(self, x):
            return x > 2

    x = torch.tensor([1.0, 2.0, 3.0, 2.5])
    (one,) = judge(Above(), [(x >= 2).numpy()], x)
    assert not one.ok


@pytest.mark.parametrize("wrong", [np.zeros(3, bool), np.zeros(4, np.int64)])
def test_shapes_and_dtypes_are_no_ties(wrong):
    (one,) = judge(Mask(), [wrong], torch.rand(4))
    assert not one.ok


def test_the_report_says_so(tmp_path):
    result = convert(Mask(), tmp_path / "out", example_inputs=torch.rand(20))
    result.outputs[0] |= {"near_tie": True}
    assert "near ties" in result.summary()
