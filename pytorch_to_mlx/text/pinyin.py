"""Chinese characters in pinyin and everything else character by character: the text that F5-TTS and E2-TTS read."""

import re
from collections.abc import Iterator

from ..errors import MissingExtraError

EXTRA = "f5-tts-zh"
_SAME = str.maketrans({";": ",", "“": '"', "”": '"', "‘": "'", "’": "'"})
_HAN = "〇㐀-䶿一-鿿豈-﫿\U00020000-\U0003ffff"
_HAS_HAN = re.compile(f"[{_HAN}]")
# 重(chong2) says how to read one character. Without the digit of the tone it would be an ordinary parenthesis.
FORCED = re.compile(rf"([{_HAN}])[(（]([a-zü]{{1,6}})([1-5])[)）]", re.IGNORECASE)
# What rjieba, whose dictionary has five words without Chinese characters, makes of a text that has none.
_RUN = re.compile(r"[a-zA-Z0-9+#&._%\-]+")
_DICTIONARY = re.compile(r"(AT&T|[cC](?:#|\+\+))")
_WORD = re.compile(r"([a-zA-Z0-9]+(?:[._\-][a-zA-Z0-9]+)*%?)")


def pinyin_tokens(text: str, *, forced: bool = True) -> list[str]:
    """Return the tokens of a text: syllables such as zhong1, each after a space, and characters of all else.

    forced: 重(chong2)庆 is 重庆 whose first character is read chong2; the neutral tone is 5. If not, it stays as it is.
    Raises: MissingExtraError for Chinese characters without the packages rjieba and pypinyin.
    Source: f5-tts 1.1.22, model/utils.py `convert_char_to_pinyin`, whose tokens these are, with rjieba 0.2.2.
    """
    readings: dict[int, str] = {}
    if forced:
        text, readings = _take_readings(text)
    tokens: list[str] = []
    start = 0
    for segment in _segments(text.translate(_SAME)):
        if segment.isascii():
            if tokens and len(segment) > 1 and tokens[-1] not in tuple(" :'\""):
                tokens.append(" ")
            tokens += segment
        else:
            for i, (character, reading) in enumerate(zip(segment, _readings(segment), strict=True)):
                if "\u3100" <= character <= "\u9fff":
                    tokens.append(" ")
                tokens.append(readings.get(start + i, reading))
        start += len(segment)
    return tokens


def without_readings(text: str) -> str:
    """Return a text without the readings that it forces: 重(chong2)庆 is 重庆."""
    return FORCED.sub(r"\1", text)


def has_chinese(text: str) -> bool:
    """Return whether a text has Chinese characters."""
    return _HAS_HAN.search(text) is not None


def _take_readings(text: str) -> tuple[str, dict[int, str]]:
    """Return a text without the readings that it forces, and those by the index of their character."""
    readings: dict[int, str] = {}
    n_removed = 0
    for match in FORCED.finditer(text):
        tone = "" if match[3] == "5" else match[3]
        readings[match.start() - n_removed] = match[2].lower().replace("ü", "v") + tone
        n_removed += len(match.group()) - 1
    return without_readings(text), readings


def _segments(text: str) -> Iterator[str]:
    """Yield words as rjieba cuts them; together they are the text. Without Chinese characters rjieba is not needed."""
    if has_chinese(text):
        try:
            import rjieba
        except ModuleNotFoundError:
            raise MissingExtraError("rjieba", EXTRA, needed_for="Chinese text") from None
        yield from rjieba.cut(text)
        return
    position = 0
    for run in _RUN.finditer(text):
        yield from text[position : run.start()]
        for part in _DICTIONARY.split(run.group()):
            yield from [part] if _DICTIONARY.fullmatch(part) else filter(None, _WORD.split(part))
        position = run.end()
    yield from text[position:]


def _readings(segment: str) -> list[str]:
    """Return the reading of each character of a segment, which is the character where it has none."""
    if not has_chinese(segment):
        return list(segment)
    try:
        from pypinyin import Style, lazy_pinyin
    except ModuleNotFoundError:
        raise MissingExtraError("pypinyin", EXTRA, needed_for="Chinese text") from None
    if all("\u0800" <= character <= "\uffff" for character in segment):
        readings = lazy_pinyin(segment, style=Style.TONE3, tone_sandhi=True)
        if len(readings) == len(segment):  # it joins characters that it does not know, where the original fails
            return readings
    one_by_one = ((c, lazy_pinyin(c, style=Style.TONE3, tone_sandhi=True)) for c in segment)
    return [readings[0] if "\u3100" <= c <= "\u9fff" else c for c, readings in one_by_one]
