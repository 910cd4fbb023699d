"""Sizes, numbers and counts as a person reads them."""

import pytest

from pytorch_to_mlx.units import count_text, number_text, size_text


@pytest.mark.parametrize(
    ("n_bytes", "text"),
    [
        (0, "0 B"),
        (1, "1 B"),
        (999, "999 B"),
        (1000, "1 KB"),
        (7900, "7.9 KB"),
        (999_499, "999 KB"),
        (999_500, "1 MB"),
        (1_048_576, "1.05 MB"),
        (311_000_000, "311 MB"),
        (1.2e9, "1.2 GB"),
        (12_345_678_901, "12.3 GB"),
        (3.4567e12, "3.46 TB"),
        (2**63, "9.22 EB"),
        (5e20, "500 EB"),
    ],
)
def test_three_digits_in_powers_of_ten(n_bytes, text):
    assert size_text(n_bytes) == text


@pytest.mark.parametrize(
    ("count", "words", "text"),
    [
        (0, ["shard"], "0 shards"),
        (1, ["shard"], "1 shard"),
        (2, ["shard"], "2 shards"),
        (1, ["shard is missing", "shards are missing"], "1 shard is missing"),
        (12, ["shard is missing", "shards are missing"], "12 shards are missing"),
    ],
)
def test_words_agree_with_the_number(count, words, text):
    assert count_text(count, *words) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (0.12346, "0.1235"), (1.5, "1.5"), (1234.5, "1234"), (14_512.3, "14512"), (9999.7, "10000")],
)  # fmt: skip
def test_a_large_number_has_no_exponent(value, text):
    assert number_text(value) == text
