"""What the user sees: results on stdout, progress and errors on stderr."""

import dataclasses
import io
import json
import math
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ..units import number_text

MAX_LISTED = 4096
TIMES = ("_s", " s", "seconds")  # how the names of times in seconds end
NARROW = 12  # a column that is not wider does not wrap
PIPE_WIDTH = 120  # of a table that does not go to a terminal; a wider one wraps its words


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
    if hasattr(result, "pieces"):  # parts of one text, shown as soon as they are ready
        for piece in result.pieces():
            sys.stdout.write(printable(piece))
            sys.stdout.flush()
        sys.stdout.write("\n")
        return
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
    data = plain(result.brief() if hasattr(result, "brief") else result)
    if isinstance(data, dict):
        for key, value in data.items():
            _entry(key, value)
    elif _all(data, dict):
        table(data)
    else:
        for item in data if isinstance(data, list) else [data]:
            _line(_cell(item))


def _entry(key: str, value: Any) -> None:
    """One entry of a result: a line, or a heading with its rows below."""
    name = key.replace("_", " ")
    if _all(value, dict):
        _line(f"{name}:")
        table(value)
    elif _all(value, list):
        _line("\n  ".join([f"{name}:", *("; ".join(map(_cell, row)) for row in value)]))
    elif value not in (None, "", [], {}):
        _line(f"{name}: {_cell(value, key)}")


def _all(value: Any, kind: type) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, kind) for item in value)


def _line(text: str) -> None:
    sys.stdout.write(printable(text) + "\n")


def table(rows: Iterable[Mapping[str, Any]]) -> None:
    """A table with one column for every key. Without a terminal no word is cut, however wide it becomes."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    rows = list(rows)
    names = list(dict.fromkeys(key for row in rows for key in row))
    columns = [[printable(name), *(_cell(row.get(name), name) for row in rows)] for name in names]
    widths = [None] * len(columns) if sys.stdout.isatty() else _widths(columns)
    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name, texts, width in zip(names, columns, widths, strict=True):
        numbers = all(isinstance(row.get(name, 0), (int, float)) for row in rows)
        drawn.add_column(Text(texts[0]), justify="right" if numbers else "left", width=width)
    for row in list(zip(*columns, strict=True))[1:]:
        drawn.add_row(*map(Text, row))
    if sys.stdout.isatty():
        Console(highlight=False).print(drawn)
        return
    console = Console(file=io.StringIO(), width=10_000, highlight=False)
    console.print(drawn)
    sys.stdout.write("".join(f"{line.rstrip()}\n" for line in console.file.getvalue().splitlines() if line.strip()))  # type: ignore[attr-defined]


def _widths(columns: list[list[str]]) -> list[int]:
    """Return the width of each column: the widest give way until the table has PIPE_WIDTH, but whole words stay."""
    from rich.cells import cell_len

    widths = [max(cell_len(line) for text in texts for line in text.split("\n")) for texts in columns]
    words = [[cell_len(word) for text in texts for word in text.split()] for texts in columns]
    least = [max(min(width, NARROW), *lengths, 0) for width, lengths in zip(widths, words, strict=True)]
    for _ in range(sum(widths) + 3 * len(widths) - PIPE_WIDTH):
        wide = [number for number in range(len(widths)) if widths[number] > least[number]]
        if not wide:
            break
        widths[max(wide, key=lambda number: widths[number])] -= 1
    return widths


def _cell(value: Any, name: str = "") -> str:
    """The text of a value. name: of its entry or column, which says whether it is a time."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.3f}" if name.endswith(TIMES) else number_text(value)
    if isinstance(value, list):
        return ", ".join(_cell(item, name) for item in value)
    if isinstance(value, dict):
        names = {key: name if name.endswith(TIMES) else str(key) for key in value}
        return ", ".join(f"{printable(str(key))} {_cell(item, names[key])}" for key, item in value.items())
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
    return "".join(c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode() for c in text)
