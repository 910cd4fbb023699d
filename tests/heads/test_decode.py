"""Decoding beside the sum over all paths."""

from collections import defaultdict
from itertools import product

import mlx.core as mx
import numpy as np
import pytest

from pytorch_to_mlx.heads.ctc import ctc_loss
from pytorch_to_mlx.heads.decode import beam_search, greedy


def collapse(path, blank):
    merged = [label for label, before in zip(path, [None, *path[:-1]], strict=True) if label != before]
    return tuple(label for label in merged if label != blank)


def log_softmax(logits):
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


@pytest.mark.parametrize(("seed", "blank"), [(0, 0), (1, 0), (2, 2), (3, 1)])
def test_a_wide_beam_sums_every_path(seed, blank):
    log_probs = log_softmax(np.random.default_rng(seed).standard_normal((5, 3)))
    totals = defaultdict(float)
    for path in product(range(3), repeat=5):
        totals[collapse(path, blank)] += np.exp(log_probs[range(5), path].sum())
    expected = sorted(totals.items(), key=lambda item: -item[1])
    results = beam_search(log_probs, blank=blank, beam_size=1000)
    assert [labels for labels, _ in results[:5]] == [labels for labels, _ in expected[:5]]
    np.testing.assert_allclose([np.exp(score) for _, score in results], [p for _, p in expected], rtol=1e-9)
    likeliest = tuple(log_probs.argmax(-1).tolist())
    assert tuple(greedy(log_probs, blank=blank)) == collapse(likeliest, blank)


def test_the_score_is_the_loss():
    logits = np.random.default_rng(4).standard_normal((6, 4)).astype(np.float32)
    [(labels, score), *_] = beam_search(log_softmax(logits.astype(np.float64)), beam_size=500)
    loss = ctc_loss(mx.array(logits)[None], [labels], [6]).item()
    assert score == pytest.approx(-loss, rel=1e-6)


def test_a_beam_finds_what_the_best_path_misses():
    """Each frame's likeliest is the blank, but all paths to the label together are likelier."""
    log_probs = np.log(np.array([[0.6, 0.4], [0.6, 0.4]]))
    assert greedy(log_probs) == [] and beam_search(log_probs)[0][0] == (1,)


def test_repeats_need_a_blank():
    path = np.eye(3)[[1, 1, 0, 1, 2, 2]]
    assert greedy(path) == [1, 1, 2]
    assert beam_search(log_softmax(20 * path), beam_size=2)[0][0] == (1, 1, 2)
    assert greedy(np.zeros((0, 3))) == [] and beam_search(np.zeros((0, 3))) == [((), 0.0)]
