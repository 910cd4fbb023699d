"""Read strict JSON (no duplicate keys, no NaN, bounded depth and size): configs, indexes and safetensors headers."""

import json
import math
import re
from pathlib import Path
from typing import Any

from ..errors import FormatError
from .budget import Budget
from .files import SourceFile, quote

MAX_BYTES = 64 << 20
MAX_CONFIG = 4 << 20
MAX_DEPTH = 100
MAX_DIGITS = 400
_TOKENS = re.compile(r'"(?:[^"\\]|\\.)*+"|["\[\]{}]', re.DOTALL)


def read_json(
    path: str | Path, *, expect: type = dict, max_bytes: int = MAX_BYTES, budget: Budget | None = None
) -> Any:
    """Read a JSON file whose top value is an object or, with expect=list, an array.

    Raises: FormatError with line and column.
    """
    path = Path(path)
    with SourceFile(path) as file:
        if file.size > max_bytes:
            raise FormatError(f"{file.size} bytes of JSON, at most {max_bytes} are read", where=path)
        return parse_json(file.read(0, file.size), where=path, expect=expect, budget=budget)


def read_config(path: str | Path) -> dict[str, Any]:
    """Read config.json from a folder, or a config file.

    Raises: FormatError if it is missing or malformed.
    """
    path = Path(path)
    return read_json(path / "config.json" if path.is_dir() else path, max_bytes=MAX_CONFIG)


def parse_json(
    data: bytes,
    *,
    where: str | Path,
    expect: type = dict,
    max_depth: int = MAX_DEPTH,
    budget: Budget | None = None,
) -> Any:
    """Parse strict JSON whose top value is an `expect`.

    Raises: FormatError, with line and column where the problem has a place, and where the budget is spent.
    """
    if not data.strip():
        raise FormatError("the file is empty, not JSON", where=where)
    if data.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        raise FormatError("line 1 column 1: a byte order mark", where=where, fix="save it as plain UTF-8")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - data.rfind(b"\n", 0, error.start)
        raise FormatError(f"line {line} column {column}: not UTF-8", where=where) from None
    (budget or Budget(where)).spend(3 * sum(map(text.count, ",[{")))  # about the number of its values
    _check_depth(text, max_depth, where)
    try:
        value = json.loads(
            text, object_pairs_hook=_no_duplicates, parse_constant=_no_constant, parse_int=_int, parse_float=_float
        )
    except json.JSONDecodeError as error:
        raise FormatError(f"line {error.lineno} column {error.colno}: {error.msg}", where=where) from None
    except _Refused as error:
        line, column = _position(text, text.rfind(f'"{error.token}"') if error.is_key else text.find(error.token))
        raise FormatError(f"line {line} column {column}: {error}", where=where) from None
    if "\\u" in text:
        _check_surrogates(value, where)
    if not isinstance(value, expect):
        kind = {dict: "an object", list: "an array"}[expect]
        raise FormatError(f"line 1 column 1: {kind} is expected, found {type(value).__name__}", where=where)
    return value


class _Refused(ValueError):
    """Refuse a token; its place is looked up in the text: the last one of a key, the first one of a number."""

    def __init__(self, message: str, token: str, *, is_key: bool = False) -> None:
        super().__init__(message)
        self.token, self.is_key = token, is_key


def _position(text: str, index: int) -> tuple[int, int]:
    """Return line and column, counted from 1."""
    return text.count("\n", 0, max(index, 0)) + 1, index - text.rfind("\n", 0, max(index, 0))


def _check_depth(text: str, max_depth: int, where: str | Path) -> None:
    """Refuse deep nesting before json.loads, which would recurse into it."""
    depth = 0
    for token in _TOKENS.finditer(text):
        mark = token[0][0]
        if mark in "[{":
            depth += 1
            if depth > max_depth:
                line, column = _position(text, token.start())
                raise FormatError(f"line {line} column {column}: nested more than {max_depth} levels deep", where=where)
        elif mark in "]}":
            depth -= 1
        elif token[0] == '"':
            return  # an unterminated string: the parser will say where


def _check_surrogates(value: Any, where: str | Path) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError as error:
        escape = f"\\u{ord(error.object[error.start]):04x}"
        raise FormatError(f"the escape {escape} stands alone: half a character", where=where) from None


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise _Refused(f"the key {quote(key)} occurs twice in one object", key, is_key=True)
            seen.add(key)
    return result


def _no_constant(token: str) -> float:
    raise _Refused(f"{token} is not a JSON number", token)


def _int(token: str) -> int:
    if token == "-0":
        raise _Refused("-0 is not a whole number that all readers take", token)
    if len(token) > 20:
        raise _Refused(f"an integer of {len(token)} digits", token)
    return int(token)


def _float(token: str) -> float:
    value = float(token) if len(token) <= MAX_DIGITS else math.inf
    if not math.isfinite(value):
        raise _Refused(f"the number {token[:40]} is too large or too long", token)
    return value
