"""Read the text of a command: an argument, a file, or stdin."""

import os
import stat
import sys
from pathlib import Path

from ..errors import FormatError, UsageError

MAX_CHARACTERS = 10_000_000


def choose_text(what: str | None, text: str | None, *others: object) -> str | None:
    """Return the text of a command that takes it as an argument too; where nothing is given and stdin is a pipe or a
    file, that is meant: -.

    others: what may be given instead of a text.
    Raises: UsageError for a text that is given twice.
    """
    if what is not None and text is not None:
        raise UsageError("the text is given twice", fix="give it as an argument or with --text")
    chosen = text if what is None else what
    return "-" if chosen is None and not any(others) and _is_piped() else chosen


def _is_piped() -> bool:
    try:
        mode = os.fstat(sys.stdin.fileno()).st_mode
    except (AttributeError, OSError, ValueError):  # closed, or replaced by an object without a file
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISREG(mode)


def read_text(text: str | None, text_file: Path | None, *, newline: str | None = None) -> str | None:
    """Return `text`, or the contents of `text_file`; either may be -, which is stdin. None if both are None.

    What is read is cut after MAX_CHARACTERS + 1, so that whoever checks the length sees that it is too long.
    newline: as open() takes it; "" keeps the line breaks of a file.
    Raises: FormatError for a file that is not UTF-8, UsageError for one that cannot be read and for a closed stdin.
    """
    if text == "-" or (text_file is not None and str(text_file) == "-"):
        if sys.stdin is None:
            raise UsageError("stdin is closed")
        return sys.stdin.read(MAX_CHARACTERS + 1)
    if text_file is None:
        return text
    try:
        with open(text_file, encoding="utf-8-sig", newline=newline) as file:
            return file.read(MAX_CHARACTERS + 1)
    except UnicodeDecodeError as error:  # its position counts from the last block read, so it would mislead
        raise FormatError("not UTF-8 text", where=text_file, fix="save it as UTF-8") from error
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot be read: {error}", where=text_file) from error
