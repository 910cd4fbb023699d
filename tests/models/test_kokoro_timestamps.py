"""Word times are the reference's; where it loses step with the durations, ours keep it."""

import random

import pytest

from pytorch_to_mlx.models.kokoro.timestamps import word_times
from pytorch_to_mlx.text.phonemes import phonemize
from pytorch_to_mlx.text.split import Token, join

VOCAB = set(' ;:,.!?—…"“”()') | set("AIOQSTWYabcdefhijklmnopqrstuvwxyzæðŋɑɐɒɔəɚɛɜɡɪɹɾʃʊʌʒʤʧˈˌːθᵊᵻʔʣʥʦʨ")
TEXT = [
    "Hello, world! This is PyTorch to MLX.",
    "It cost $12.50 on 3/4/2021; doesn't he know?",
    "“Quoted words” (in parentheses) — and more…",
    "a",
]


def durations_for(tokens, seed):
    dice = random.Random(seed)
    return [dice.randrange(1, 9) for _ in range(len(join(tokens)) + 2)]


@pytest.mark.parametrize("text", TEXT)
def test_times_are_the_references(text):
    pytest.importorskip("kokoro")
    import torch
    from kokoro import KPipeline
    from misaki.token import MToken

    (tokens,) = phonemize(text, "a")
    durations = durations_for(tokens, text)
    theirs = [MToken(t.text, "", " " * t.space, t.phonemes) for t in tokens]
    KPipeline.join_timestamps(theirs, torch.tensor(durations))
    expected = [(t.text, t.start_ts, t.end_ts) for t in theirs if t.phonemes.strip(' ;:,.!?—…"“”()')]
    found = [(w.text, w.start_s, w.end_s) for w in word_times(tokens, durations, VOCAB)]
    assert found == expected


def test_a_space_is_shared_and_the_lead_is_cut():
    tokens = [Token("one", "ab", True), Token("two", "c"), Token(".", ".")]
    first, second = word_times(tokens, [5, 1, 2, 4, 3, 9, 7], VOCAB)
    assert (first.start_s, first.end_s) == ((5 - 3) / 40, (5 - 3 + 3 + 2) / 40)
    assert (second.start_s, second.end_s) == (first.end_s, (5 - 3 + 3 + 4 + 3) / 40)


def test_silent_tokens_and_unknown_phonemes_do_not_shift_the_rest():
    tokens = [Token("--", "", True), Token("one", "a[b", True), Token("--", "", True), Token("two", "cd")]
    first, second = word_times(tokens, [3, 1, 1, 1, 1, 2, 2, 1], VOCAB)
    assert (first.text, second.text) == ("one", "two")
    assert second.end_s == 8 / 40


def test_as_many_durations_as_phonemes():
    with pytest.raises(ValueError, match="durations"):
        word_times([Token("one", "ab")], [3, 1, 1], VOCAB)
    with pytest.raises(ValueError, match="durations"):
        word_times([Token("one", "ab")], [3, 1, 1, 1, 1], VOCAB)
