"""Numbers and signs in words, for models that read characters: English by our rules, Chinese by wetext."""

import re
import unicodedata
from importlib.util import find_spec
from typing import Literal

from ..errors import MissingExtraError
from .pinyin import FORCED, has_chinese

Language = Literal["en", "zh", "none"]


def read_aloud(text: str, language: Language, *, extra: str) -> str:
    """Return a text as it is spoken. language: 'none' leaves it as it is; so are forced readings such as 重(chong2).

    Raises: MissingExtraError without the packages of `extra`: num2words for English, wetext for Chinese.
    """
    if language == "en":
        if find_spec("num2words") is None:
            raise MissingExtraError("num2words", extra, needed_for="numbers in words")
        from .english.normalize import write_out
        from .english.remaining import say_remaining

        return say_remaining(write_out(text).text)
    if language == "zh":
        from .wetext import write_out as write_out_chinese

        parts = re.split(f"({FORCED.pattern})", text, flags=FORCED.flags)
        step = FORCED.groups + 2  # a part, the reading after it, and the groups inside the reading
        plain = [write_out_chinese(part, "zh", extra=extra) for part in parts[::step]]
        readings = [*parts[1::step], ""]
        return "".join(part + reading for part, reading in zip(plain, readings, strict=True))
    return text


def guess_language(text: str) -> Language:
    """Return zh for a text with Chinese characters but no kana, en for one with no letters beyond ASCII, else none.

    A word such as café does not make a text other than English: one letter in fifty may be beyond ASCII.
    """
    letters = [character for character in text if unicodedata.category(character)[0] == "L"]
    names = {unicodedata.name(character, "").split(" ")[0] for character in letters if not character.isascii()}
    if has_chinese(text) and not names & {"HIRAGANA", "KATAKANA"}:
        return "zh"
    n_foreign = sum(not character.isascii() for character in letters)
    return "en" if n_foreign * 50 <= len(letters) and names <= {"LATIN"} else "none"
