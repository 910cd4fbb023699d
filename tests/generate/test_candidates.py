"""The likeliest tokens in place of all logits, and the rules that may be applied to them alone."""

import numpy as np
import pytest

from pytorch_to_mlx.errors import CheckError
from pytorch_to_mlx.generate.candidates import best_candidates
from pytorch_to_mlx.generate.logits import log_softmax
from pytorch_to_mlx.generate.options import GenerationOptions
from pytorch_to_mlx.generate.processors import apply_processors, apply_to_candidates, n_lowered, processors

V = 60


def logits(rows=3, seed=0):
    """Some are equal: the first of them comes first."""
    return np.random.default_rng(seed).integers(-20, 20, (rows, V)).astype(np.float32) / 4


def test_best_candidates():
    some = logits()
    best = best_candidates(some, 7)
    for row, values, ids, log_sum in zip(some, best.logits, best.ids, best.log_sums, strict=True):
        assert ids.tolist() == sorted(range(V), key=lambda i: (-row[i], i))[:7]
        np.testing.assert_array_equal(values, row[ids])
        assert log_sum == pytest.approx(np.log(np.exp(row.astype(np.float64) - row.max()).sum()), abs=1e-6)
    np.testing.assert_allclose(best.log_probs(), np.take_along_axis(log_softmax(some), best.ids, 1), atol=1e-6)
    assert best_candidates(some, 1000).ids.shape == (3, V)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite(value):
    some = logits()
    some[1, 5] = value
    with pytest.raises(CheckError, match="not finite"):
        best_candidates(some, 3).log_probs()


RULES = {
    "sequence_bias": dict(sequence_bias=[[[7], -3.0], [[4, 9], -5.0], [[2, 12], -2.5]]),
    "encoder_repetition_penalty": dict(encoder_repetition_penalty=0.6),
    "repetition_penalty": dict(repetition_penalty=1.8),
    "no_repeat": dict(no_repeat_ngram_size=2),
    "encoder_no_repeat": dict(encoder_no_repeat_ngram_size=2),
    "bad_words": dict(bad_words_ids=[[3], [5, 6], [9]]),
    "lengths": dict(min_length=9, min_new_tokens=4),
    "suppress": dict(suppress_tokens=list(range(20)), begin_suppress_tokens=[30, 31]),
}


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("seed", range(4))
def test_rules_on_candidates_are_rules_on_all(name, seed):
    """The best four after the rules are among as many more candidates as `n_lowered` says."""
    rows, source = [[2, 4, 9, 4], [2, 5, 5, 5], [2, 9, 12, 2]], [4, 9, 5, 2, 12, 1]
    options = GenerationOptions(eos=(1,)).changed(RULES[name])
    rules = processors(options, source=source, n_prompt=1, limit=30)
    scores = log_softmax(logits(seed=seed))
    count = n_lowered(rules, rows)
    assert count is not None
    best = best_candidates(scores, 4 + count)
    space = np.full((3, V), -np.inf, np.float32)
    some = apply_to_candidates(rules, rows, best.ids, best.logits, space)
    every = best_candidates(apply_processors(rules, rows, scores), 4)
    for ids, values, expected, values_expected in zip(best.ids, some, every.ids, every.logits, strict=True):
        order = np.lexsort((ids, -values))[:4]
        assert ids[order].tolist() == expected.tolist() and values[order].tolist() == values_expected.tolist()
    assert np.isneginf(space).all()


@pytest.mark.parametrize(
    "values",
    [
        dict(sequence_bias=[[[7], 3.0]]), dict(repetition_penalty=0.8), dict(encoder_repetition_penalty=1.5),
        dict(renormalize_logits=True), dict(remove_invalid_values=True), dict(forced_bos_token_id=5),
        dict(exponential_decay_length_penalty=(0, 1.2)), dict(prefix_allowed_tokens_fn=lambda number, ids: [3]),
    ],
    ids=lambda values: next(iter(values)),
)  # fmt: skip
def test_rules_that_need_every_score(values):
    options = GenerationOptions(eos=(1,)).changed(values)
    rows = [[2]] if "forced_bos_token_id" in values else [[2, 4, 9]]
    assert n_lowered(processors(options, source=[4], n_prompt=1, limit=30), rows) is None
