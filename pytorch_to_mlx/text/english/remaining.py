"""The numbers and signs that `normalize` leaves to misaki, in words: for a model that reads the letters themselves."""

import re

from .numbers import cardinal, digits, minutes, ordinal, year

_ORDINAL = re.compile(r"(?<![\w.,])(\d{1,3}(?:,\d{3})+|\d{1,12})(?:st|nd|rd|th)\b")
_DECADE = re.compile(r"(?<![\w.,'’])['’]?((?:1[1-9]|20)?\d0)s\b")
_TIME = re.compile(r"(?<![\w:.,])([01]?\d|2[0-3]):([0-5]\d)(?![\w:])")
_YEAR = re.compile(r"(?<![\w.,:/-])(1[1-9]\d\d|20[1-9]\d)(?![\w:/-]|[.,]\d)")
_NUMBER = re.compile(r"\d{1,3}(?:,\d{3})+(?!\d)|\d+")
_SIGNS = {"&": "and", "+": "plus", "=": "equals", "%": "percent", "@": "at", "<": "less than", ">": "greater than"}
_SIGN = re.compile(r"(?<![^\s\w])\s*([&+=%@<>])\s*(?![^\s\w])")
_LETTER = re.compile(r"[^\W\d_]")


def say_remaining(text: str) -> str:
    """Return a text from `write_out` without digits: 21st, 1990s, 7:30, 2024, MP3 and R&B in words.

    Raises: MissingExtraError without the package num2words.
    """
    text = _ORDINAL.sub(lambda match: ordinal(int(match[1].replace(",", ""))), text)
    text = _DECADE.sub(lambda match: _plural(year(match[1]) if len(match[1]) == 4 else cardinal(match[1])), text)
    text = _TIME.sub(lambda match: f"{cardinal(match[1].lstrip('0') or '0')} {minutes(match[2])}".strip(), text)
    text = _YEAR.sub(lambda match: year(match[1]), text)
    text = _SIGN.sub(lambda match: f" {_SIGNS[match[1]]} ", text)
    return _NUMBER.sub(_number, text)


def _plural(word: str) -> str:
    return f"{word.removesuffix('y')}ies" if word.endswith("y") else f"{word}s"


def _number(match: re.Match[str]) -> str:
    """Return the words of a number, with spaces where it touches letters."""
    number = match[0]
    words = digits(number) if len(number) > 1 and number.startswith("0") else cardinal(number)
    before, after = match.string[: match.start()][-1:], match.string[match.end() :][:1]
    return " " * bool(_LETTER.match(before)) + words + " " * bool(_LETTER.match(after))
