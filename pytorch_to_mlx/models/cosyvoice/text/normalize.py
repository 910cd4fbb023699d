"""Write out text as it is spoken, in pieces of the length that CosyVoice speaks best.

Reference: cosyvoice/cli/frontend.py `text_normalize` and cosyvoice/utils/frontend_utils.py @ace7c47, with wetext 0.1.8
(version 0.0.4, which the original names, downloads its rules when it is first used).
"""

import re
import unicodedata
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

from ....errors import MissingExtraError
from ....text.split import split_text
from ....text.wetext import write_out
from .phonemes import PHONEMES
from .tokenizer import require_text

EXTRA = "cosyvoice"
# Lengths in tokens of English or characters of Chinese.
MAX_PIECE, MIN_PIECE = 80, 60
MIN_LAST_PIECE = 20  # a shorter last piece joins the one before it
MAX_SENTENCE = 240  # a longer sentence is cut at a comma or a word, which the original does not do
PAGE = 1000  # characters that are normalised at once
_CHINESE = re.compile("[\u4e00-\u9fff]")
_ENDS = {"zh": "。？！；：、.?!;", "en": ".?!;:"}
_CLOSING_QUOTES = ('"', "”")
# Phonemes would be read as words and numbers; each passes as one private-use character.
_PHONEMES = {phoneme: chr(0xE100 + i) for i, phoneme in enumerate(PHONEMES)}
_PHONEME = re.compile("|".join(map(re.escape, PHONEMES)))
_FROM_PRIVATE = str.maketrans({private: phoneme for phoneme, private in _PHONEMES.items()})


def text_pieces(text: str, count: Callable[[str], int], *, normalized: bool = True) -> list[str]:
    """Return all pieces of `iter_pieces`."""
    return list(iter_pieces(text, count, normalized=normalized))


def iter_pieces(text: str, count: Callable[[str], int], *, normalized: bool = True) -> Iterator[str]:
    """Yield the text as spoken, in pieces of whole sentences: 60 to 80 tokens of English, or characters of Chinese.

    A text that holds <|…|> is one piece and stays as it is, as in the original; so is every text if not `normalized`.
    Pieces that are only punctuation are left out. Normalising takes about half a millisecond for each character, so a
    long text is normalised page by page.

    Args:
        count: returns how many tokens a text has
    Raises: MissingExtraError without the packages wetext and inflect; UsageError for half of a surrogate pair.
    """
    if not normalized or is_marked(text):
        yield from [text] if text.strip() else []
        return
    for page in split_text(text.strip(), PAGE):
        page = normalize(page)
        language = "zh" if _CHINESE.search(text) else "en"
        length = len if language == "zh" else count
        for piece in split_paragraph(page, length, language) if page else []:
            yield from (part for part in cut_sentence(piece, length) if not is_only_punctuation(part))


def normalize(text: str) -> str:
    """Write out numbers, dates, units and signs in words. Tags such as [laughter] and phonemes such as [AY1] stay.

    Raises: MissingExtraError without the packages wetext and inflect; UsageError for half of a surrogate pair.
    """
    if is_marked(text):
        return text
    require_text(text)
    text = re.sub(r"\s{2,}", lambda run: "\n" if "\n" in run.group() else " ", text.strip())
    # More digits are not a number, and wetext takes minutes for them.
    text = re.sub(r"\d{21,}", lambda run: " ".join(run.group()), text)
    text = _PHONEME.sub(lambda found: _PHONEMES[found.group()], text)
    text = _chinese(text) if _CHINESE.search(text) else _english(text)
    return text.translate(_FROM_PRIVATE)


def is_marked(text: str) -> bool:
    """Return whether the text holds a control token such as <|endofprompt|>, and so is not normalised."""
    return "<|" in text and "|>" in text


def _chinese(text: str) -> str:
    text = write_out(text, "zh", extra=EXTRA)
    text = drop_spaces(text.replace("\n", ""))
    for sign, words in (("²", "平方"), ("³", "立方"), (".", "。"), (" - ", "，"), ("——", " ")):
        text = text.replace(sign, words)
    text = re.sub("[（）【】`]", "", text)
    return re.sub("[，,、]+$", "。", text)


def _english(text: str) -> str:
    text = text.replace("²", " squared").replace("³", " cubed")
    return re.sub(r"\d+|[¹⁰-⁹₀-₉]+", _number, write_out(text, "en", extra=EXTRA))


def _number(digits: re.Match[str]) -> str:
    plain = "".join(str(unicodedata.digit(digit)) for digit in digits.group())
    return _inflect().number_to_words(plain)


@cache
def _inflect() -> Any:
    try:
        import inflect
    except ModuleNotFoundError as error:
        raise MissingExtraError("inflect", EXTRA, needed_for="numbers in words") from error
    return inflect.engine()


def drop_spaces(text: str) -> str:
    """Remove the spaces that do not stand between two ASCII characters."""
    return re.sub(r"(?<![!-~]) | (?![!-~])", "", text)


def is_only_punctuation(text: str) -> bool:
    """Return whether the text has nothing but punctuation and symbols, or is empty."""
    return all(unicodedata.category(char)[0] in "PS" for char in text)


def split_paragraph(text: str, length: Callable[[str], int], language: str) -> list[str]:
    """Split a text into pieces of whole sentences, joined until a piece is over 60 and would be over 80.

    A quotation mark after the end of a sentence belongs to it; a last piece under 20 joins the one before it.
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
    piece = ""
    for sentence in sentences:
        if length(piece + sentence) > MAX_PIECE and length(piece) > MIN_PIECE:
            pieces.append(piece)
            piece = ""
        piece += sentence
    if piece and pieces and length(piece) < MIN_LAST_PIECE:
        pieces[-1] += piece
    elif piece:
        pieces.append(piece)
    return pieces


def cut_sentence(piece: str, length: Callable[[str], int]) -> list[str]:
    """Cut a piece into parts of at most MAX_SENTENCE, for text that has no end of a sentence for pages."""
    if length(piece) <= MAX_SENTENCE:
        return [piece]
    # A token is about one character or more, so that this many characters are never too long.
    return [part.strip() for part in split_text(piece, MAX_SENTENCE) if part.strip()]
