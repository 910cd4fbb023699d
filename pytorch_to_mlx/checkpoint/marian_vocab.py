"""Read Marian's vocabularies: vocab.yml (a token and its id on each line) and vocab.json."""

import re
from pathlib import Path

from ..errors import FormatError
from .budget import Budget
from .files import SourceFile, quote
from .json_file import read_json

MAX_BYTES = 64 << 20
MAX_WORDS = 10_000_000
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "0": "\0", "a": "\a", "b": "\b", "e": "\x1b", "f": "\f", "v": "\v"}
_ESCAPES |= {"N": "\x85", "_": "\xa0", "L": "\u2028", "P": "\u2029"}
_ESCAPE = re.compile(r"\\(x[0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4}|U[0-9A-Fa-f]{8}|.)", re.DOTALL)


def read_vocab(path: Path) -> dict[str, int]:
    """Read a vocabulary as {token: id}; the ids are 0, 1, 2, … without gaps, in any order.

    Raises: FormatError for a line that is none of "token": id, tokens or ids that occur twice, and missing ids.
    """
    if path.suffix == ".json":
        words = read_json(path)
    else:
        words = _read_yaml(path)
    check_vocab(words, path)
    return words


def check_vocab(words: dict[str, int], where: Path) -> None:
    """Refuse ids that are not whole numbers, occur twice or leave gaps."""
    if any(type(number) is not int for number in words.values()):
        raise FormatError("a vocabulary is a token and its number on each line", where=where)
    if not words or set(words.values()) != set(range(len(words))):
        raise FormatError(f"the ids of its {len(words)} tokens are not 0 to {len(words) - 1}", where=where)


def _read_yaml(path: Path) -> dict[str, int]:
    """Read the lines one by one; a general YAML parser takes some tokens for numbers, dates and markers."""
    budget = Budget(path)
    with SourceFile(path) as file:
        if file.size > MAX_BYTES:
            raise FormatError(f"{file.size} bytes of vocabulary, at most {MAX_BYTES} are read", where=path)
        data = file.read(0, file.size)
    try:
        lines = data.decode("utf-8").split("\n")
    except UnicodeDecodeError:
        raise FormatError("not UTF-8", where=path) from None
    words: dict[str, int] = {}
    key: str | None = None  # of an entry whose number is on the next line
    for number, line in enumerate(lines, 1):
        budget.spend()
        line = line.rstrip("\r")
        if not line or line in ("---", "...") or line.startswith("# "):
            continue
        if line.startswith("? "):
            key = line[2:]
            continue
        token, colon, value = (key or "", ":", line[1:]) if line.startswith(":") else line.rpartition(":")
        if not colon or not re.fullmatch(r" *\d{1,8} *", value) or (line.startswith(":") and key is None):
            raise FormatError(f"line {number} is not a token and its number: {quote(line)}", where=path)
        word, key = _unquote(token, number, path), None
        if word in words:
            raise FormatError(f"line {number}: the token {quote(word)} occurs twice", where=path)
        words[word] = int(value)
    return words


def _unquote(text: str, line: int, where: Path) -> str:
    """Return a token as YAML writes it: plain, in single quotes, or in double quotes with escapes."""
    text = text.strip(" ")
    if len(text) >= 2 and text[0] == text[-1] == "'":
        return text[1:-1].replace("''", "'")
    if len(text) >= 2 and text[0] == text[-1] == '"':
        try:
            return _ESCAPE.sub(lambda match: _character(match[1]), text[1:-1])
        except (ValueError, OverflowError):
            raise FormatError(f"line {line}: the escape in {quote(text)} is not a character", where=where) from None
    return text


def _character(escape: str) -> str:
    return chr(int(escape[1:], 16)) if len(escape) > 1 else _ESCAPES.get(escape, escape)
