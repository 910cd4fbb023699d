"""Written text as it is spoken, in pieces of the length that CosyVoice says best.

Reference: cosyvoice/cli/frontend.py `text_normalize` and cosyvoice/utils/frontend_utils.py @ace7c47, with wetext 0.1.8
(the 0.0.4 that the original names downloads its rules when it is first used).
"""

import re
import unicodedata
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

from ....errors import MissingExtraError
from ....progress import note
from ....text.split import split_text
from .tokenizer import require_text

LONGEST, SHORTEST, MERGED = 80, 60, 20
FARTHEST = 240  # a sentence without an end is cut here, at a comma or a word, which the original does not
PAGE = 1000  # characters
_CHINESE = re.compile("[\u4e00-\u9fff]")
_ENDS = {"zh": "。？！；：、.?!;", "en": ".?!;:"}
_CLOSING_QUOTES = ('"', "”")
# wetext writes a backslash before these; a character of no language in their place passes untouched.
_ESCAPED = str.maketrans({'"': "\ue000", "\\": "\ue001"})
_UNESCAPED = str.maketrans({"\ue000": '"', "\ue001": "\\"})


def text_pieces(text: str, count: Callable[[str], int], *, normalized: bool = True) -> list[str]:
    """All of `iter_pieces`."""
    return list(iter_pieces(text, count, normalized=normalized))


def iter_pieces(text: str, count: Callable[[str], int], *, normalized: bool = True) -> Iterator[str]:
    """The text as spoken, in pieces of whole sentences: 60 to 80 tokens of English, or characters of Chinese.

    count: how many tokens a text has. A text with <|…|> in it is one piece and stays as it is, as in the original;
    so is every text if not `normalized`. Pieces that are only punctuation are left out. Normalising takes about half
    a millisecond a character, so a long text goes through it page by page.
    Raises: MissingExtraError without the packages wetext and inflect.
    """
    if not normalized or is_marked(text):
        yield from [text] if text.strip() else []
        return
    for page in split_text(text.strip(), PAGE):
        page = normalize(page)
        language = "zh" if _CHINESE.search(text) else "en"
        length = len if language == "zh" else count
        for piece in split_paragraph(page, length, language) if page else []:
            yield from (part for part in cut(piece, length) if not is_only_punctuation(part))


def normalize(text: str) -> str:
    """The text as spoken, in one piece: numbers, dates, units and signs in words. Tags such as [laughter] stay."""
    if is_marked(text):
        return text
    require_text(text)
    text = re.sub(r"\s{2,}", lambda run: "\n" if "\n" in run.group() else " ", text.strip())
    text = re.sub(r"\d{21,}", lambda run: " ".join(run.group()), text)  # no number, and wetext takes minutes for it
    return _chinese(text) if _CHINESE.search(text) else _english(text)


def is_marked(text: str) -> bool:
    """Whether it holds a control token such as <|endofprompt|>; then nothing is normalised."""
    return "<|" in text and "|>" in text


def _chinese(text: str) -> str:
    text = spoken(text, "zh")
    text = drop_blanks(text.replace("\n", ""))
    for written, said in (("²", "平方"), ("³", "立方"), (".", "。"), (" - ", "，"), ("——", " ")):
        text = text.replace(written, said)
    text = re.sub("[（）【】`]", "", text)
    return re.sub("[，,、]+$", "。", text)


def _english(text: str) -> str:
    text = text.replace("²", " squared").replace("³", " cubed")
    return re.sub(r"\d+|[¹⁰-⁹₀-₉]+", _number, spoken(text, "en"))


def _number(digits: re.Match[str]) -> str:
    plain = "".join(str(unicodedata.digit(digit)) for digit in digits.group())
    return _inflect().number_to_words(plain)


@cache
def _inflect() -> Any:
    try:
        import inflect
    except ModuleNotFoundError as error:
        raise MissingExtraError("inflect", "cosyvoice", needed_for="numbers in words") from error
    return inflect.engine()


@cache
def _normalizer(language: str) -> Any:
    try:
        from wetext import Normalizer
    except ModuleNotFoundError as error:
        raise MissingExtraError("wetext", "cosyvoice", needed_for="text normalisation") from error
    return Normalizer(remove_erhua=False) if language == "zh" else Normalizer()


def spoken(text: str, language: str) -> str:
    """What wetext makes of it; a word that wetext has no rule for stays as it is written."""
    if not text:
        return ""
    try:
        # wetext takes a text of digits alone for Chinese
        options = {"lang": "en"} if language == "en" and text.isascii() else {}
        return _normalizer(language).normalize(text.translate(_ESCAPED), **options).translate(_UNESCAPED)
    except AssertionError:  # wetext's only sign that no rule fits, as for "5€"
        words = text.split()
    if len(words) < 2:
        note(f"not normalised: {text[:40]!r}")
        return text
    half = len(words) // 2
    return " ".join(spoken(" ".join(part), language) for part in (words[:half], words[half:]))


def drop_blanks(text: str) -> str:
    """Without the spaces that do not stand between two ASCII characters."""
    return re.sub(r"(?<![!-~]) | (?![!-~])", "", text)


def is_only_punctuation(text: str) -> bool:
    return all(unicodedata.category(char)[0] in "PS" for char in text)


def split_paragraph(text: str, length: Callable[[str], int], language: str) -> list[str]:
    """Sentences, put together until they are longer than 60, or would be longer than 80.

    A quotation mark after the end of a sentence belongs to it; a last piece under 20 goes to the one before it.
    """
    ends = _ENDS[language]
    if text[-1] not in ends:
        text += "。" if language == "zh" else "."
    sentences: list[str] = []
    start = 0
    for i, char in enumerate(text):
        if char not in ends or i < start:
            continue
        if i > start:
            sentences.append(text[start : i + 1])
        start = i + 1
        if sentences and text[start : start + 1] in _CLOSING_QUOTES:
            sentences[-1] += text[start]
            start += 1
    pieces: list[str] = []
    held = ""
    for sentence in sentences:
        if length(held + sentence) > LONGEST and length(held) > SHORTEST:
            pieces.append(held)
            held = ""
        held += sentence
    if held and pieces and length(held) < MERGED:
        pieces[-1] += held
    elif held:
        pieces.append(held)
    return pieces


def cut(piece: str, length: Callable[[str], int]) -> list[str]:
    """A piece in parts of at most FARTHEST, for text that has no end of a sentence for pages."""
    if length(piece) <= FARTHEST:
        return [piece]
    # one token is at least about one character, so this many characters are never too long
    return [part.strip() for part in split_text(piece, FARTHEST) if part.strip()]
