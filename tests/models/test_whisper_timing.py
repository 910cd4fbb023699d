"""The parts of word alignment beside openai-whisper's."""

import numpy as np
import pytest
import torch
from whisper.timing import WordTiming, dtw_cpu, merge_punctuations
from whisper.timing import median_filter as torch_median_filter

from pytorch_to_mlx.models.whisper import timing
from pytorch_to_mlx.models.whisper.timing import WordTime, shorten_at_sentence_ends, typical_duration

# openai-whisper calls NumPy on tensors, and leaves a vocabulary file open
pytestmark = [
    pytest.mark.filterwarnings("ignore:__array_wrap__"),
    pytest.mark.filterwarnings("ignore:unclosed file.*tiktoken:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:Exception ignored in.*tiktoken:pytest.PytestUnraisableExceptionWarning"),
]


@pytest.mark.parametrize("seed", range(6))
def test_dtw_and_median_filter(seed):
    rng = np.random.default_rng(seed)
    cost = rng.normal(size=(rng.integers(1, 40), rng.integers(1, 90)))
    cost = np.round(cost) if seed % 2 else cost  # ties
    assert all(np.array_equal(a, b) for a, b in zip(timing.dtw(cost), dtw_cpu(cost.copy()), strict=True))
    x = rng.normal(size=(2, 5, rng.integers(2, 50))).astype(np.float32)
    assert np.array_equal(timing.median_filter(x), torch_median_filter(torch.from_numpy(x), 7).numpy())


def test_punctuation_joins_its_words():
    words = [' ("', "Hello", ",", " world", '!"', " -", " x", "."]
    theirs = [WordTiming(word, [i], i, i + 1, 0.5) for i, word in enumerate(words)]
    merge_punctuations(theirs, timing.PREPEND, timing.APPEND)
    ours = timing.merge_punctuation([WordTime(word, (i,), i, i + 1, 0.5) for i, word in enumerate(words)])
    assert [(w.word, list(w.tokens)) for w in ours] == [(w.word, w.tokens) for w in theirs]


def test_the_typical_duration_is_a_median_of_at_most_0_7_s():
    words = [
        WordTime("a", (1,), start, start + length, 0.9) for start, length in ((0, 0.2), (1, 0.4), (2, 5.0), (7, 0.0))
    ]
    assert typical_duration(words) == pytest.approx(0.4), "a word without duration does not count"
    assert typical_duration(words[2:]) == 0.7 and typical_duration([]) == 0.0


def test_a_pause_at_a_sentence_end_is_cut():
    spans = ((" a", 0.0, 0.25), (".", 0.25, 3.0), (" b", 3.0, 6.0), (" c", 6.0, 9.0))
    words = [WordTime(text, (1,), start, end, 0.9) for text, start, end in spans]
    result = [(word.start, word.end) for word in shorten_at_sentence_ends(words, 0.5)]
    assert result == [(0.0, 0.25), (0.25, 0.75), (5.5, 6.0), (6.0, 9.0)]
