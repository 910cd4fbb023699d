"""The CTC loss beside PyTorch's in float64: values, gradients, edges, padding."""

import mlx.core as mx
import numpy as np
import pytest
import torch

from pytorch_to_mlx.errors import FormatError
from pytorch_to_mlx.heads.ctc import ctc_loss, frames_needed


def ours(logits, targets, lengths, blank=0):
    def total(x):
        losses = ctc_loss(x, targets, lengths, blank=blank)
        return losses.sum(), losses

    (_, losses), gradient = mx.value_and_grad(total)(mx.array(logits))
    return np.array(losses), np.array(gradient)


def torchs(logits, targets, lengths, blank=0):
    x = torch.tensor(logits, dtype=torch.float64, requires_grad=True)
    flat = torch.tensor([label for target in targets for label in target], dtype=torch.long)
    losses = torch.nn.functional.ctc_loss(
        x.log_softmax(-1).transpose(0, 1),
        flat,
        torch.tensor(lengths),
        torch.tensor([len(target) for target in targets]),
        blank=blank,
        reduction="none",
    )
    losses.sum().backward()
    return losses.detach().numpy(), x.grad.numpy()


def random_case(seed, blank=0):
    """Rows of mixed lengths; few labels, so that neighbours are often equal."""
    random = np.random.default_rng(seed)
    batch, n_frames, n_labels = random.integers(1, 6), random.integers(2, 60), random.integers(2, 7)
    lengths = random.integers(1, n_frames + 1, batch)
    labels = [label for label in range(n_labels) if label != blank]
    targets = []
    for length in lengths:
        target = list(random.choice(labels, random.integers(0, length + 1)))
        while frames_needed(target) > length:
            target.pop()
        targets.append([int(label) for label in target])
    logits = 3 * random.standard_normal((batch, n_frames, n_labels), dtype=np.float32)
    return logits, targets, lengths.tolist()


@pytest.mark.parametrize("seed", range(20))
def test_values_and_gradients_are_pytorchs(seed):
    blank = seed % 2
    logits, targets, lengths = random_case(seed, blank)
    losses, gradient = ours(logits, targets, lengths, blank)
    expected, expected_gradient = torchs(logits, targets, lengths, blank)
    np.testing.assert_allclose(losses, expected, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(gradient, expected_gradient, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("n_frames", "targets"),
    [(1, [[]]), (1, [[2]]), (7, [[], [1]]), (5, [[1, 2, 3, 1, 2]]), (7, [[2, 2, 2, 2]]), (1, [[], [3]])],
    ids=["empty", "one", "empty beside full", "no room for blanks", "repeats fill all", "one frame"],
)
def test_edges(n_frames, targets):
    logits = np.random.default_rng(1).standard_normal((len(targets), n_frames, 4), dtype=np.float32)
    lengths = [n_frames] * len(targets)
    losses, gradient = ours(logits, targets, lengths)
    expected, expected_gradient = torchs(logits, targets, lengths)
    np.testing.assert_allclose(losses, expected, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(gradient, expected_gradient, rtol=0, atol=1e-5)


def test_a_long_row_keeps_its_precision():
    """PyTorch's own float32 is off by up to 1e-3 here."""
    random = np.random.default_rng(2)
    logits = 3 * random.standard_normal((2, 300, 40), dtype=np.float32)
    targets = [random.integers(1, 40, 50).tolist(), random.integers(1, 3, 20).tolist()]
    losses, gradient = ours(logits, targets, [300, 220])
    expected, expected_gradient = torchs(logits, targets, [300, 220])
    np.testing.assert_allclose(losses, expected, rtol=1e-6)
    np.testing.assert_allclose(gradient, expected_gradient, rtol=0, atol=1e-5)


def test_padding_counts_for_nothing():
    logits, targets, lengths = random_case(3)
    losses, gradient = ours(logits, targets, lengths)
    for row, length in enumerate(lengths):
        alone, own_gradient = ours(logits[row : row + 1, :length], targets[row : row + 1], [length])
        assert alone[0] == pytest.approx(losses[row], rel=1e-6)
        np.testing.assert_allclose(gradient[row, :length], own_gradient[0], atol=1e-6)
        assert not gradient[row, length:].any()
    np.testing.assert_allclose(gradient.sum(-1), 0, atol=1e-6)  # of one frame


def test_extreme_logits_stay_finite():
    logits = np.zeros((1, 4, 3), np.float32)
    logits[:, :, 2] = -1e5  # the only way to the target is all but impossible
    losses, gradient = ours(logits, [[2, 1]], [4])
    expected, expected_gradient = torchs(logits, [[2, 1]], [4])
    np.testing.assert_allclose(losses, expected, rtol=1e-6)
    np.testing.assert_allclose(gradient, expected_gradient, atol=1e-5)


def test_the_same_bits_twice_and_half_precision_in():
    logits, targets, lengths = random_case(5)
    assert all(np.array_equal(a, b) for a, b in zip(*(ours(logits, targets, lengths) for _ in "ab"), strict=True))
    gradient = mx.grad(lambda x: ctc_loss(x, targets, lengths).sum())(mx.array(logits).astype(mx.float16))
    assert gradient.dtype == mx.float16


def test_finite_differences():
    logits, targets, lengths = random_case(8)
    _, gradient = ours(logits, targets, lengths)
    direction = np.random.default_rng(0).standard_normal(logits.shape).astype(np.float32)
    step = 1e-2
    up, down = (ours(logits + sign * step * direction, targets, lengths)[0].sum() for sign in (1, -1))
    assert (up - down) / (2 * step) == pytest.approx(float((gradient * direction).sum()), rel=2e-3)


def test_impossible_rows_are_named():
    logits = mx.zeros((4, 3, 5))
    with pytest.raises(FormatError) as raised:
        ctc_loss(logits, [[1, 1, 2], [1], [0], [7]], [3, 4, 3, 3])
    assert [detail.split(":")[0] for detail in raised.value.details] == ["row 0", "row 1", "row 2", "row 3"]
    assert "3 labels need 4 frames, it has 3" in str(raised.value) and "4 frames of 3" in str(raised.value)
    with pytest.raises(FormatError, match="4 rows of logits, 1 targets"):
        ctc_loss(logits, [[1]], [3])
