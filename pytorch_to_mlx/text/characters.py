"""Make characters those that the dictionaries know, and find the words of a text that a language cannot say."""

import re
import unicodedata
from collections.abc import Iterator
from functools import cache

from .spoken import MARKUP, Rule, Spoken

_SAME = {
    "‘": "'", "’": "'", "‛": "'", "ʼ": "'", "ʻ": "'", "´": "'", "„": "“", "‟": "“", "«": "“", "»": "”", "‐": "-",
    "‑": "-", "‒": "–", "−": "-", "―": "—", "⁄": "/", "∕": "/", "˚": "°", "º": "°", "µ": "μ", "№": "No. ",
    "\u2028": " ", "\u2029": " ",
}  # fmt: skip
_COMPATIBLE = ("<wide>", "<narrow>", "<font>", "<square>", "<noBreak>", "<compat>", "<circle>", "<sub>")
_INCOMPATIBLE = frozenset("…‥″‴¨¯¸˘˙˛˜˝")  # <compat>, but the signs that they are composed of mean something else
_SAID_SYMBOLS = frozenset("°№©")
_SKIN_TONES = range(0x1F3FB, 0x1F400)
# Scripts by the codes of text/phonemes.py, as the names of Unicode's characters begin; Latin for the others.
_SCRIPTS = {"h": ("DEVANAGARI", "LATIN"), "j": ("HIRAGANA", "KATAKANA", "CJK"), "z": ("CJK",)}


def compose(text: str) -> Spoken:
    """Return text in Unicode's composed form (NFC): e and U+0301 become é."""
    return Spoken.of(text, _composed(text))


def is_only_punctuation(text: str) -> bool:
    """Return whether a text has nothing but punctuation, symbols and spaces, or is empty."""
    return all(unicodedata.category(character)[0] in "PSZC" for character in text)


def foreign_words(text: str, code: str) -> Iterator[re.Match[str]]:
    """Yield each run of letters that the language is not written in, as group 1, with the spaces before it.

    misaki's markup is left out, and so is a single Greek letter, which is said by its name.
    """
    letters = "".join(character for character in set(text) if _is_foreign(character, code))
    if not letters:
        return
    marks = "".join(character for character in set(text) if unicodedata.category(character)[0] == "M")
    run = rf"[{re.escape(letters)}][{re.escape(letters + marks)}]*"
    for match in re.finditer(rf"{MARKUP.pattern}|(?:(?<!\s)[^\S\n]+)?(?P<run>{run})", text):
        word = match["run"]
        if word and not (len(word) == 1 and unicodedata.name(word, "").startswith("GREEK")):
            yield match


@cache
def _is_foreign(character: str, code: str) -> bool:
    if unicodedata.category(character) not in ("Lo", "Lu", "Ll", "Lt"):
        return False
    plain = unicodedata.normalize("NFKC", character)[0]
    return plain.isalpha() and not unicodedata.name(plain, "").startswith(_SCRIPTS.get(code, "LATIN"))


def _composed(text: str) -> Iterator[tuple[int, int, str]]:
    """Yield each character with what combines with it, where composing it changes it."""
    if unicodedata.is_normalized("NFC", text):
        return
    start = 0
    for end in range(1, len(text) + 1):
        if end == len(text) or not unicodedata.combining(text[end]):
            cluster = unicodedata.normalize("NFC", text[start:end])
            if cluster != text[start:end]:
                yield start, end, cluster
            start = end


def _simple(spaces: str, character: str) -> str | None:
    """Return what stands for a character and the spaces before it, None if they stay."""
    category = unicodedata.category(character)
    if character in _SAME:
        return spaces + _SAME[character]
    simple = character
    if unicodedata.decomposition(character).startswith(_COMPATIBLE) and character not in _INCOMPATIBLE:
        simple = unicodedata.normalize("NFKC", character)
    elif (category == "So" and character not in _SAID_SYMBOLS) or ord(character) in _SKIN_TONES:
        return ""
    elif category in ("Cf", "Cn", "Co", "Mn", "Me"):
        return spaces
    return spaces + simple if simple != character else None


# One kind of apostrophe, hyphen and letter; no emoji, and nothing that has no width.
SIMPLER: tuple[Rule, ...] = (
    (re.compile(r"(?:(?<!\s)([^\S\n]+))?([^\x00-\x7f])"), lambda match, _: _simple(match[1] or "", match[2])),
    (re.compile(r"(?<!\s)[^\S\n]+(?:[:;]-?[)(DP]|<3)(?!\S)"), lambda *_: ""),  # :-)
)
