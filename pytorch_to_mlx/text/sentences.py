"""Cut a text into sentences for a translator, so that all that lies between them can be put back as it was."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from .split import split_text

# A sentence ends after these marks and what closes behind them, before white space; full-width marks need none.
_END = re.compile(r"[.!?…]+[\"'”’»)\]]*(?=\s)|[。！？｡]+[」』）”’]*|[।॥؟۔]+[\"'”’»)\]]*(?=\s)")
_LAST_WORD = re.compile(r"([^\s\"'“‘«(\[]+)\.$")
_INITIAL = re.compile(r"^(?:[^\W\d_]\.)*[^\W\d_]$")  # J. or J.R.R.
# After these a full stop ends no sentence, after those of the second list not before a number.
_ABBREVIATIONS = frozenset(
    "mr mrs ms dr prof st sra srta dra rev hon gen col capt lt sgt gov sen rep vs e.g i.e cf approx mme mlle bzw z.b "
    "d.h vgl hr fr p.ex exmo exma ilmo eng".split()
)
_BEFORE_NUMBERS = frozenset("no nos nr num núm art arts p pp pág págs cap par sec chap s st".split())
_LETTER = re.compile(r"[^\W\d_]")


@dataclass(frozen=True)
class Part:
    """A stretch of a text: a sentence to translate, or what lies between sentences and stays as it is."""

    text: str
    is_sentence: bool


def split_sentences(text: str, *, whole_lines: bool = False) -> list[Part]:
    """Cut a text into its sentences and what lies between them; joined again, the parts are the text.

    Every line is cut by itself, and stretches without a letter stay as they are. whole_lines: cut at line breaks only.
    """
    parts: list[Part] = []
    for line in re.split(r"([\r\n\x0b\x0c\x85\u2028\u2029]+)", text):
        pieces = [line] if whole_lines or not line.strip() else list(_sentences(line))
        for piece in pieces:
            parts += _trimmed(piece)
    return parts


def _sentences(line: str) -> Iterator[str]:
    """Yield the sentences of a line, each with the white space after it."""
    start = 0
    for match in _END.finditer(line):
        end = match.end()
        if _continues(line[start:end], line[end:]):
            continue
        end += len(line[end:]) - len(line[end:].lstrip())
        yield line[start:end]
        start = end
    if start < len(line):
        yield line[start:]


def _continues(before: str, after: str) -> bool:
    """Return whether the full stop at the end of `before` ends no sentence."""
    following = after.lstrip()
    word = _LAST_WORD.search(before)
    if word is None:
        # marks within a sentence, as in: "Really?" she said, or: Wait... what?
        return not before.endswith(tuple("。！？｡")) and following[:1].islower()
    last = word[1].lower()
    if last in _BEFORE_NUMBERS and following[:1].isdigit():
        return True
    is_initial = bool(_INITIAL.match(word[1])) and word[1][0].isupper() and len(before.split()) > 1
    return following[:1].islower() or last in _ABBREVIATIONS or is_initial


def _trimmed(piece: str) -> Iterator[Part]:
    """Yield a sentence without the white space around it, and that white space, or a piece without letters as it is."""
    core = piece.strip()
    if not core or not _LETTER.search(core):
        if piece:
            yield Part(piece, False)
        return
    start = piece.index(core)
    for text, is_sentence in ((piece[:start], False), (core, True), (piece[start + len(core) :], False)):
        if text:
            yield Part(text, is_sentence)


def fit(sentence: str, n_tokens: Callable[[str], int], limit: int) -> list[Part]:
    """Cut a sentence at the best places into parts of at most `limit` tokens; joined, they are the sentence."""
    count = n_tokens(sentence)
    if count <= limit or len(sentence) < 2:
        return [Part(sentence, True)]
    size = max(1, min(len(sentence) - 1, len(sentence) * limit // count))
    return [
        fitted
        for piece in split_text(sentence, size)
        for part in _trimmed(piece)
        for fitted in (fit(part.text, n_tokens, limit) if part.is_sentence else [part])
    ]


def repeats(tokens: list[int] | tuple[int, ...], source: list[int] | tuple[int, ...] = ()) -> bool:
    """Return whether tokens run in a loop: a token four times in a row, or up to 12 of them three times.

    A source that does the same, as in "ha ha ha ha", is no loop.
    """
    return _loops(tuple(tokens)) and not _loops(tuple(source))


def _loops(tokens: tuple[int, ...]) -> bool:
    for period in range(1, 13):
        needed = period * (3 if period == 1 else 2)  # equal neighbours at this distance, in a row
        run = 0
        for i in range(period, len(tokens)):
            run = run + 1 if tokens[i] == tokens[i - period] else 0
            if run >= needed:
                return True
    return False
