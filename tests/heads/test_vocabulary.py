"""Vocabularies: what is encoded is decoded, and pieces are the frequent ones."""

import pytest

from pytorch_to_mlx.errors import FormatError
from pytorch_to_mlx.heads.vocabulary import Vocabulary, characters, phonemes, pieces

TEXTS = ["Press four to hear the rest.", "Press star to go back.", "Press two, or the star."]


@pytest.mark.parametrize("labels", [characters(TEXTS), pieces(TEXTS, 40)], ids=["characters", "pieces"])
def test_texts_come_back(labels):
    vocabulary = Vocabulary(labels)
    for text in [*TEXTS, "the four stars", ""]:
        numbers = vocabulary.encode(text)
        assert vocabulary.decode(numbers) == text and all(1 <= number <= len(labels) for number in numbers)


def test_pieces_are_the_frequent_neighbours():
    labels = pieces(TEXTS, 40)
    assert len(labels) == len(set(labels)) == 40 and set(characters(TEXTS)) < set(labels)
    assert " the" in labels or " to" in labels
    assert not any(" " in label[1:] for label in labels)
    assert labels == pieces(TEXTS, 40)
    assert len(Vocabulary(labels).encode(TEXTS[0])) < 0.7 * len(TEXTS[0])
    assert pieces(["ab"], 10) == ("a", "b", "ab")  # nothing more to join
    with pytest.raises(FormatError, match="more than 5 pieces"):
        pieces(TEXTS, 5)


def test_the_first_merges_by_hand():
    assert pieces(["aab aab ab"], 6) == (" ", "a", "b", "ab", "aab", " aab")


def test_the_fewest_pieces_and_of_these_the_longest_first():
    vocabulary = Vocabulary(("a", "b", "c", "ab", "bc", "abca"))
    assert vocabulary.items(vocabulary.encode("abc")) == ["ab", "c"]
    assert vocabulary.items(vocabulary.encode("abcabc")) == ["abca", "bc"]
    assert Vocabulary(("ab", "abc", "bcd")).items(Vocabulary(("ab", "abc", "bcd")).encode("abbcd")) == ["ab", "bcd"]


def test_phonemes_of_several_letters():
    labels = phonemes([["tʃ", "iː"], ["t", "iː"]])
    vocabulary = Vocabulary(labels)
    assert labels == ("iː", "t", "tʃ") and vocabulary.encode_items(["tʃ", "t"]) == [3, 2]
    assert vocabulary.items([3, 1]) == ["tʃ", "iː"]


def test_unknown_labels_are_named():
    vocabulary = Vocabulary(("a", "bc"))
    with pytest.raises(FormatError, match="no label for 'x' 'ж'"):
        vocabulary.encode("axжa")
    with pytest.raises(FormatError, match="no labels make up 'ab'"):
        vocabulary.encode("ab")
    with pytest.raises(FormatError, match="no label for 'c'"):
        vocabulary.encode_items(["a", "c"])
