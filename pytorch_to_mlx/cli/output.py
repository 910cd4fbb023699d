"""What the user sees: results on stdout, progress and errors on stderr."""

import dataclasses
import io
import json
import math
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

MAX_LISTED = 4096


def error(text: str, code: int) -> int:
    """One line `error: …` (details indented below) on stderr. Returns the exit code."""
    sys.stderr.write(f"error: {printable(text)}\n")
    return code


def show(result: Any, *, as_json: bool) -> None:
    """Print what a verb returned: text, a table of rows, or JSON; iterators item by item, as JSON a line for each."""
    if result is None:
        return
    if isinstance(result, Iterator):
        for item in result:
            if as_json:
                sys.stdout.write(json.dumps(plain(item), allow_nan=False) + "\n")
            else:
                show(item, as_json=False)
            sys.stdout.flush()
    elif as_json:
        sys.stdout.write(json.dumps(plain(result), indent=2, allow_nan=False) + "\n")
    else:
        _show_text(result)


def _show_text(result: Any) -> None:
    if hasattr(result, "lines"):
        for line in result.lines():
            _line(line)
            sys.stdout.flush()  # the next may take minutes
        return
    if hasattr(result, "rows"):
        table(result.rows())
        if hasattr(result, "summary"):
            _line(result.summary())
        return
    data = plain(result)
    if isinstance(data, dict):
        for key, value in data.items():
            _entry(key.replace("_", " "), value)
    elif _all(data, dict):
        table(data)
    else:
        for item in data if isinstance(data, list) else [data]:
            _line(_cell(item))


def _entry(key: str, value: Any) -> None:
    """One entry of a result: a line, or a heading with its rows below."""
    if _all(value, dict):
        _line(f"{key}:")
        table(value)
    elif _all(value, list):
        _line("\n  ".join([f"{key}:", *("; ".join(map(_cell, row)) for row in value)]))
    elif value not in (None, "", [], {}):
        _line(f"{key}: {_cell(value)}")


def _all(value: Any, kind: type) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, kind) for item in value)


def _line(text: str) -> None:
    sys.stdout.write(printable(text) + "\n")


def table(rows: Iterable[Mapping[str, Any]]) -> None:
    """A table with one column for every key. Wide when stdout is not a terminal: a pipe has no right edge."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    rows = list(rows)
    columns = list(dict.fromkeys(key for row in rows for key in row))
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        numbers = all(isinstance(row.get(column, 0), (int, float)) for row in rows)
        made.add_column(Text(printable(column)), justify="right" if numbers else "left")
    for row in rows:
        made.add_row(*(Text(_cell(row.get(column))) for column in columns))
    if sys.stdout.isatty():
        Console(highlight=False).print(made)
        return
    console = Console(file=io.StringIO(), width=10_000, highlight=False)
    console.print(made)
    sys.stdout.write("".join(f"{line.rstrip()}\n" for line in console.file.getvalue().splitlines() if line.strip()))  # type: ignore[attr-defined]


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list):
        return ", ".join(_cell(item) for item in value)
    if isinstance(value, dict):
        return ", ".join(f"{printable(str(key))} {_cell(item)}" for key, item in value.items())
    return printable(str(value))


def plain(value: Any) -> Any:
    """The result as JSON types. Non-finite numbers become null, large arrays their shape and dtype."""
    if hasattr(value, "to_dict"):
        return plain(value.to_dict())
    if hasattr(value, "dtype") and hasattr(value, "tolist"):
        if value.size > MAX_LISTED:
            return {"shape": list(value.shape), "dtype": str(value.dtype)}
        return plain(value.tolist())
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (bool, int, str)):
        return value
    return str(value) if isinstance(value, Path) else repr(value)


def printable(text: str) -> str:
    """Text that cannot steer the terminal: control characters and lone surrogates are shown by their numbers."""
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)
