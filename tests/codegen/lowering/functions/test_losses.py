"""Losses, against torch."""

import mlx.core as mx
import numpy as np
import pytest
import torch
from torch.nn import functional

from pytorch_to_mlx.codegen.capture.tensors import to_mlx, to_numpy
from pytorch_to_mlx.codegen.lowering.functions import losses

torch.manual_seed(0)
SCORES, TARGET, WEIGHT = torch.randn(5, 4), torch.tensor([0, 3, 1, 2, 3]), torch.tensor([0.5, 1.0, 2.0, 3.0])


@pytest.mark.parametrize("reduction, name", [(0, "none"), (1, "mean"), (2, "sum")])
def test_nll_loss(reduction, name):
    log_p = SCORES.log_softmax(1)
    expected = functional.nll_loss(log_p, TARGET, WEIGHT, ignore_index=2, reduction=name)
    loss, total = losses.nll_loss(to_mlx(log_p), to_mlx(TARGET), to_mlx(WEIGHT), reduction, 2)
    np.testing.assert_allclose(to_numpy(loss), expected.numpy(), rtol=1e-6)
    assert total.item() == (0 if reduction == 0 else 0.5 + 3 + 1 + 3)


@pytest.mark.parametrize("p", [1, 2])
def test_multi_margin_loss(p):
    expected = functional.multi_margin_loss(SCORES, TARGET, p, 0.7, WEIGHT, reduction="none")
    ours = losses.multi_margin_loss(to_mlx(SCORES), to_mlx(TARGET), p, 0.7, to_mlx(WEIGHT))
    np.testing.assert_allclose(to_numpy(ours), expected.numpy(), rtol=1e-5)


def test_multilabel_margin_loss():
    targets = torch.tensor([[3, 0, -1, 1], [-1, 2, 2, 2]])
    expected = functional.multilabel_margin_loss(SCORES[:2], targets, reduction="none")
    loss, is_target = losses.multilabel_margin_loss(to_mlx(SCORES[:2]), to_mlx(targets))
    np.testing.assert_allclose(to_numpy(loss), expected.numpy(), rtol=1e-6)
    assert is_target.tolist() == [[1, 0, 0, 1], [0, 0, 0, 0]]


@pytest.mark.parametrize("packed", [False, True])
def test_ctc_loss(packed):
    log_p = torch.randn(7, 2, 4).log_softmax(2)
    targets, sizes = torch.tensor([[1, 1, 3], [2, 0, 0]]), [3, 1]
    expected = functional.ctc_loss(log_p, targets, (7, 5), tuple(sizes), reduction="none")
    labels = mx.array([1, 1, 3, 2]) if packed else to_mlx(targets)
    ours = losses.ctc_loss(to_mlx(log_p), labels, [7, 5], sizes, 0)
    np.testing.assert_allclose(to_numpy(ours), expected.numpy(), rtol=1e-5)
