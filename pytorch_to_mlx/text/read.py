"""Read the text of a command: an argument, a file, or stdin."""

import sys
from pathlib import Path

from ..errors import FormatError, UsageError

MAX_CHARACTERS = 10_000_000


def read_text(text: str | None, text_file: Path | None) -> str | None:
    """Return `text`, or the contents of `text_file`; either may be -, which is stdin. None if both are None.

    What is read is cut after MAX_CHARACTERS + 1, so that whoever checks the length sees that it is too long.
    Raises: FormatError for a file that is not UTF-8, UsageError for one that cannot be read and for a closed stdin.
    """
    if text == "-" or (text_file is not None and str(text_file) == "-"):
        if sys.stdin is None:
            raise UsageError("stdin is closed")
        return sys.stdin.read(MAX_CHARACTERS + 1)
    if text_file is None:
        return text
    try:
        with open(text_file, encoding="utf-8-sig") as file:
            return file.read(MAX_CHARACTERS + 1)
    except UnicodeDecodeError as error:  # its position counts from the last block read, so it would mislead
        raise FormatError("not UTF-8 text", where=text_file, fix="save it as UTF-8") from error
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot be read: {error}", where=text_file) from error
