"""Splitting loses nothing, keeps the limit, and cuts where the reference cuts."""

import random

import pytest

from pytorch_to_mlx.text.split import Token, break_runs, join, split_text, split_tokens, tokens_of

WORDS = ["a", "the", "həlˈO", "wˈɜɹld", "ˌɛmˌɛlˈɛks", "x" * 40, "", "y" * 700]
MARKS = [".", ",", "!", "?", ";", ":", "—", "…", "“", "”", "(", ")"]


def random_tokens(seed: int) -> list[Token]:
    dice = random.Random(seed)
    return [
        Token("t", dice.choice(MARKS) if dice.random() < 0.2 else dice.choice(WORDS), dice.random() < 0.8)
        for _ in range(dice.randrange(400))
    ]


@pytest.mark.parametrize("limit", [1, 2, 7, 60, 510])
@pytest.mark.parametrize("seed", range(20))
def test_tokens_lose_nothing(seed, limit):
    tokens = random_tokens(seed)
    runs = list(split_tokens(tokens, limit))
    assert all(len(join(run)) <= limit for run in runs)
    assert all(runs)
    assert "".join(join(run) for run in runs).replace(" ", "") == join(tokens).replace(" ", "")
    assert [t.text for run in runs for t in run if t.text] == [t.text for t in tokens if t.text]


def test_tokens_are_cut_after_sentences_then_clauses_then_words():
    def words(n):
        return [Token("", "abcd", True) for _ in range(n)]

    sentence = [*words(4), Token("", ".", True), *words(3)]
    assert join(next(split_tokens([*sentence, *words(9)], 40))).endswith(".")
    clause = [*words(4), Token("", ",", True), *words(3)]
    assert join(next(split_tokens([*clause, *words(9)], 40))).endswith(",")
    assert join(next(split_tokens(words(20), 40))) == " ".join(["abcd"] * 8)


def test_tokens_of_a_string_join_to_it():
    for text in ["koɲɲiʨiβa, sekai. “toːkʲoː” βa", " ni↓xau↓,  ʂɨ↘ʨje↘.", "(a) b—c… d?", "", "   ", "..."]:
        assert join(tokens_of(text)) == text.strip()


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("limit", [1, 5, 80, 400])
def test_text_loses_nothing(seed, limit):
    dice = random.Random(seed)
    text = "".join(dice.choice("abcdefg  .,!?。、；\n—\"'3") for _ in range(dice.randrange(2000)))
    parts = split_text(text, limit)
    assert "".join(parts) == text
    assert all(0 < len(part) <= limit for part in parts)


def test_text_is_cut_after_sentences_and_not_inside_numbers():
    parts = split_text("It costs 3.50 now. It cost 2.75 then. Ask www.example.com for more.", 40)
    assert parts == ["It costs 3.50 now. It cost 2.75 then. ", "Ask www.example.com for more."]


def test_runs_without_a_space_are_broken():
    assert break_runs("ab" * 5 + " cd", 4) == "abab abab ab cd"
    assert break_runs("abcd", 4) == "abcd"
