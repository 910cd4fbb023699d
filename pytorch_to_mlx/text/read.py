"""The text of a command: given, from a file, or from stdin."""

import sys
from pathlib import Path

from ..errors import FormatError, UsageError

MAX_CHARACTERS = 10_000_000


def read_text(text: str | None, text_file: Path | None) -> str | None:
    """`text`, or what `text_file` holds; `-` is stdin. At most one character more than MAX_CHARACTERS.

    Raises: FormatError for a file that is not UTF-8, UsageError for one that cannot be read.
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
    except UnicodeDecodeError as error:
        raise FormatError(f"not UTF-8 text (byte {error.start})", where=text_file) from error
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot be read: {error}", where=text_file) from error
