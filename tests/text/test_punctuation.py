"""Moses' punctuation: plain quotes and dashes, by the rules of a language."""

import sys

import pytest

from pytorch_to_mlx.errors import MissingExtraError, UsageError
from pytorch_to_mlx.text.punctuation import normalizer


@pytest.mark.parametrize(
    ("name", "text", "plain"),
    [
        ("moses", "“it’s” … «oui» – no", '"it\'s" ... "oui" - no'),
        ("moses", "He said “no”.", 'He said "no."'),
        ("moses:de", "Er sagte „nein“.", 'Er sagte "nein".'),
        ("moses:en", "", ""),
    ],
)
def test_plain_marks(name, text, plain):
    pytest.importorskip("sacremoses", reason="it comes with the extra 'opus-mt'")
    assert normalizer(name, extra="opus-mt")(text) == plain


@pytest.mark.parametrize("name", ["", "mosses", "moses:xx", "de"])
def test_other_names(name):
    with pytest.raises(UsageError, match="use moses, or moses: and one of en, de"):
        normalizer(name, extra="opus-mt")


def test_without_the_library(monkeypatch):
    monkeypatch.setitem(sys.modules, "sacremoses", None)
    with pytest.raises(MissingExtraError, match="pytorch-to-mlx\\[opus-mt\\]"):
        normalizer("moses", extra="opus-mt")
