"""What the patterns of several rules share: where a number starts and ends, and the words around a match."""

import re
from collections.abc import Iterable

# No part of a longer number, word, date, version or telephone number.
START = r"(?<![\w.,:/$£€¥°%'+\-–^])"
END = r"(?![\w°⁻^])(?![.,:/\-–]\d)"
DASH = r"(?:-|\s?–\s?|\s-\s)"


def one_of(words: Iterable[str]) -> str:
    """Return a pattern of any of the words, the longest first."""
    return "(?:" + "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True)) + ")"


def next_word(match: re.Match[str]) -> str:
    """Return the word that follows a match after a space, or nothing."""
    word = re.match(r" ([A-Za-z]+)", match.string[match.end() : match.end() + 40])
    return word[1] if word else ""


def words_before(match: re.Match[str], count: int = 1) -> list[str]:
    """Return the last words before a match, in its sentence and in lower case."""
    sentence = re.split(r"[.!?;:]\s+(?=[A-Z])", match.string[max(0, match.start() - 80) : match.start()])[-1]
    return [word.strip("()\"“”',.") for word in sentence.lower().split()][-count:]


def ends_sentence(match: re.Match[str]) -> bool:
    """Return whether nothing, or the start of another sentence, follows a match."""
    return re.match(r"[\"”')]*(\s+[\"“'(]*[A-Z]|\s*$)", match.string[match.end() :]) is not None
