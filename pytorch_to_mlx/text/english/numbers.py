"""Numbers in words: cardinals, ordinals, years, digits. The words are num2words's, without its commas."""

import re
from functools import cache
from typing import Any

from ...errors import MissingExtraError

NUMBER = r"(?:\d{1,3}(?: \d{3})* 000(?!\d)|\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+)"
_MOST_DIGITS = 21  # of a number that has a name


def cardinal(number: str, british: bool = False) -> str:
    """Return "1,250.5" as "one thousand two hundred fifty point five"; in British English with "and fifty"."""
    whole, _, decimals = re.sub("[, ]", "", number).partition(".")
    if not whole:
        return f"point {digits(decimals)}"
    if len(whole) > _MOST_DIGITS or re.match("0[0-9]", whole):
        words = digits(whole)
    else:
        words = _words(int(whole), "cardinal", british)
    return f"{words} point {digits(decimals)}" if decimals else words


def ordinal(number: int, british: bool = False) -> str:
    """Return 21 as "twenty-first"."""
    return _words(number, "ordinal", british)


def year(number: str, british: bool = False) -> str:
    """Return "1905" as "nineteen oh five"."""
    return _words(int(number), "year", british).replace("oh-", "oh ")


def digits(number: str) -> str:
    """Return "555" as "five five five"; what is not a digit is left out."""
    return " ".join(_words(int(digit), "cardinal", False) for digit in number if digit.isdecimal())


def minutes(number: str) -> str:
    """Return the minutes of a time: "05" as "oh five", "30" as "thirty", "00" as nothing."""
    value = int(number)
    return "" if not value else f"{'oh ' if value < 10 else ''}{cardinal(str(value))}"


def _words(number: int, kind: str, british: bool) -> str:
    words = _num2words()(number, to=kind).replace(",", "")
    return words if british else words.replace(" and ", " ")


@cache
def _num2words() -> Any:
    try:
        from num2words import num2words
    except ModuleNotFoundError as error:
        raise MissingExtraError("num2words", "kokoro", needed_for="numbers in words") from error
    return num2words
