"""Read and write the fields of a config by name."""

import re
from typing import Any


def matches(words: str, name: str) -> bool:
    """Return whether a field's name is, as a whole, one of some words: regular expressions separated by spaces."""
    return any(re.fullmatch(word, name) for word in words.split())


def set_field(config: Any, name: str, value: Any) -> None:
    """Set a field, unless the config refuses the value."""
    try:
        setattr(config, name, value)
    except (TypeError, ValueError, AttributeError, NotImplementedError):
        return
