"""Cut a text into sentences for a translator, so that all that lies between them can be put back as it was."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from .split import split_text

# A sentence ends after these marks and what closes behind them, before white space; full-width marks need none.
# A run of marks is read once (possessive, and from its first mark only), so that 100,000 of them take no hours.
_END = re.compile(
    r"(?<![.!?…])[.!?…]++[\"'”’»)\]]*+(?=\s)|[。！？｡]+[」』）”’]*|(?<![।॥؟۔])[।॥؟۔]++[\"'”’»)\]]*+(?=\s)"
)
_SPACE = re.compile(r"\s*")
_TAIL = 100  # characters before a mark that tell what it ends
_LAST_WORD = re.compile(r"([^\s\"'“‘«(\[]+)\.$")
_INITIAL = re.compile(r"^(?:[^\W\d_]\.)*[^\W\d_]$")  # J. or J.R.R.
# After these a full stop ends no sentence, after those of the second list not before a number.
_ABBREVIATIONS = frozenset(
    "mr mrs ms dr prof st sra srta dra rev hon gen col capt lt sgt gov sen rep vs e.g i.e cf approx mme mlle bzw z.b "
    "d.h vgl hr fr p.ex exmo exma ilmo eng".split()
)
_BEFORE_NUMBERS = frozenset("no nos nr num núm art arts p pp pág págs cap par sec chap s st".split())
_LETTER = re.compile(r"[^\W\d_]")
MAX_WORD = 500
# Longer without white space, in a script that has it between words: data in text form, not words. Thai to Tibetan,
# Khmer, and Chinese and Japanese with their marks have none.
_LONG_WORD = re.compile(
    rf"[^\s\u0e00-\u109f\u1780-\u17ff\u1950-\u1aaf\u2e80-\u9fff\ua980-\uaadf\uf900-\ufaff\uff00-\uffef"
    rf"\U00020000-\U0003ffff]{{{MAX_WORD + 1},}}+"
)


@dataclass(frozen=True)
class Part:
    """A stretch of a text: a sentence to translate, or what lies between sentences and stays as it is."""

    text: str
    is_sentence: bool


def split_sentences(text: str, *, whole_lines: bool = False) -> list[Part]:
    """Cut a text into its sentences and what lies between them; joined again, the parts are the text.

    Every line is cut by itself. Stretches without a letter stay as they are, and so do words of over MAX_WORD
    characters. whole_lines: cut at line breaks only.
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
        following = _end(_SPACE, line, end)
        if _continues(line[max(start, end - _TAIL) : end], line[following : following + 1]):
            continue
        yield line[start:following]
        start = following
    if start < len(line):
        yield line[start:]


def _end(pattern: re.Pattern[str], text: str, start: int) -> int:
    match = pattern.match(text, start)
    return start if match is None else match.end()


def _continues(before: str, following: str) -> bool:
    """Return whether the full stop at the end of `before` ends no sentence. following: the next character."""
    word = _LAST_WORD.search(before)
    if word is None:
        # marks within a sentence, as in: "Really?" she said, or: Wait... what?
        return not before.endswith(tuple("。！？｡")) and following.islower()
    last = word[1].lower()
    if last in _BEFORE_NUMBERS and following.isdigit():
        return True
    is_initial = bool(_INITIAL.match(word[1])) and word[1][0].isupper() and len(before.split()) > 1
    return following.islower() or last in _ABBREVIATIONS or is_initial


def _trimmed(piece: str) -> Iterator[Part]:
    """Yield a sentence without the white space around it, and that white space, or a piece without letters as it is."""
    core = piece.strip()
    if not core or not _LETTER.search(core):
        if piece:
            yield Part(piece, False)
        return
    start = piece.index(core)
    if piece[:start]:
        yield Part(piece[:start], False)
    yield from _around_long_words(core)
    if piece[start + len(core) :]:
        yield Part(piece[start + len(core) :], False)


def _around_long_words(core: str) -> Iterator[Part]:
    """Yield a sentence, or if it holds words of over MAX_WORD characters, those and what lies between them."""
    end = 0
    for match in _LONG_WORD.finditer(core) if len(core) > MAX_WORD else ():
        yield from _trimmed(core[end : match.start()])
        yield Part(match.group(), False)
        end = match.end()
    if end == 0:
        yield Part(core, True)
    else:
        yield from _trimmed(core[end:])


def is_long_word(part: Part) -> bool:
    """Return whether a part stays as it is because it is too long for a word."""
    return not part.is_sentence and len(part.text) > MAX_WORD and _LETTER.search(part.text) is not None


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
