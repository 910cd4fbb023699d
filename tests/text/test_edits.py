"""Edit distances beside the recursion that defines them."""

from functools import cache

import numpy as np
import pytest

from pytorch_to_mlx.text.edits import edit_distance, prefix_distances


def by_definition(a, b):
    @cache
    def distance(i, j):
        if not i or not j:
            return i + j
        return min(distance(i - 1, j) + 1, distance(i, j - 1) + 1, distance(i - 1, j - 1) + (a[i - 1] != b[j - 1]))

    return distance(len(a), len(b))


@pytest.mark.parametrize("seed", range(10))
def test_random_texts(seed):
    random = np.random.default_rng(seed)
    a, b = ("".join(random.choice(list("abc"), random.integers(0, 12))) for _ in "ab")
    assert edit_distance(a, b) == by_definition(a, b)
    assert prefix_distances(a, b).tolist() == [by_definition(a, b[:end]) for end in range(len(b) + 1)]


@pytest.mark.parametrize(("a", "b", "distance"), [("", "", 0), ("", "ab", 2), ("kitten", "sitting", 3)])
def test_known_distances(a, b, distance):
    assert edit_distance(a, b) == edit_distance(b, a) == distance


def test_words_and_phonemes_are_items_too():
    assert edit_distance("press four to hear".split(), "press 4 to hear".split()) == 1
    assert edit_distance(["tʃ", "iː"], ["t", "ʃ", "iː"]) == 2
