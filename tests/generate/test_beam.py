"""Beam search against an exhaustive search and against openai-whisper's."""

import itertools

import numpy as np
import pytest
import torch
from whisper.decoding import BeamSearchDecoder, MaximumLikelihoodRanker

from pytorch_to_mlx.generate.beam import BeamSearch, length_normalised

VOCAB, EOS = 7, 6


def next_log_probs(sequence):
    """A fixed random model: the distribution depends on the whole prefix."""
    rng = np.random.default_rng(abs(hash(tuple(sequence))) % 2**32)
    logits = rng.normal(size=VOCAB).astype(np.float32)
    return logits - np.log(np.exp(logits).sum())


class NoCache:
    def rearrange_kv_cache(self, source_indices):
        self.source_indices = source_indices


def ours(size, patience, steps):
    search = BeamSearch(size, EOS, patience)
    beams, sums = [()] * size, [0.0] * size
    for _ in range(steps):
        beams, sums, sources = search.update(beams, sums, np.stack([next_log_probs(b) for b in beams]))
        assert all(0 <= source < size for source in sources)
        if search.is_finished:
            break
    return dict(search.candidates(beams, sums))


def theirs(size, patience, steps):
    decoder = BeamSearchDecoder(size, EOS, NoCache(), patience)
    decoder.reset()
    tokens, sums = torch.zeros((size, 1), dtype=torch.long), torch.zeros(size)
    for _ in range(steps):
        rows = np.stack([next_log_probs(row[1:]) for row in tokens.tolist()])
        tokens, done = decoder.update(tokens, torch.from_numpy(rows), sums)
        if done:
            break
    found, totals = decoder.finalize(tokens[None], sums[None])
    return {tuple(t.tolist()[1:]): total for t, total in zip(found[0], totals[0], strict=True)}


@pytest.mark.filterwarnings("ignore:__array_wrap__")  # NumPy about torch, in the reference
@pytest.mark.parametrize("size,patience,steps", [(1, 1.0, 5), (3, 1.0, 6), (5, 2.0, 6), (4, 0.5, 8), (2, 1.0, 1)])
def test_candidates_are_openai_s(size, patience, steps):
    a, b = ours(size, patience, steps), theirs(size, patience, steps)
    assert a.keys() == b.keys()
    assert all(abs(a[key] - b[key]) < 1e-5 for key in a)


def test_a_beam_as_wide_as_the_tree_finds_the_best():
    length = 3
    complete = [
        (*prefix, EOS) for n in range(length) for prefix in itertools.product(range(EOS), repeat=n)
    ]  # every sequence that ends within `length` tokens
    score = {s: sum(float(next_log_probs(s[:i])[s[i]]) for i in range(len(s))) for s in complete}
    best = max(score, key=score.get)
    found = ours(VOCAB**2, 10.0, length)
    assert max((f for f in found if len(f) <= length and f[-1] == EOS), key=found.get) == best


def test_length_penalty_is_google_s_or_the_mean():
    ranker = MaximumLikelihoodRanker(0.6)
    totals, lengths = [-3.0, -3.2, -9.0], [4, 6, 30]
    best = ranker.rank([[torch.zeros(n) for n in lengths]], [totals])[0]
    assert best == int(np.argmax([length_normalised(t, n, 0.6) for t, n in zip(totals, lengths, strict=True)]))
    assert length_normalised(-6.0, 3, None) == -2.0


def test_no_candidates_is_refused():
    with pytest.raises(ValueError, match="no candidate"):
        BeamSearch(4, EOS, 0.01)
