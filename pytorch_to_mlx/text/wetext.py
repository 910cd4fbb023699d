"""Numbers, dates, units and signs in words, by the library wetext: Chinese and English."""

from functools import cache
from typing import Any

from ..errors import MissingExtraError
from ..progress import note

# wetext writes a backslash before these; private-use characters in their place pass untouched.
_ESCAPED = str.maketrans({'"': "\ue000", "\\": "\ue001"})
_UNESCAPED = str.maketrans({"\ue000": '"', "\ue001": "\\"})


def write_out(text: str, language: str, *, extra: str) -> str:
    """Normalise by wetext; a word that wetext has no rule for stays as it is written.

    language: zh or en. Raises: MissingExtraError, naming `extra`, without the package wetext.
    """
    if not text:
        return ""
    try:
        # wetext takes a text that is only digits for Chinese
        options = {"lang": "en"} if language == "en" and text.isascii() else {}
        return _normalizer(language, extra).normalize(text.translate(_ESCAPED), **options).translate(_UNESCAPED)
    except AssertionError:  # wetext's only sign that no rule fits, as for "5€"
        words = text.split()
    if len(words) < 2:
        note(f"not normalised: {text[:40]!r}")
        return text
    half = len(words) // 2
    return " ".join(write_out(" ".join(part), language, extra=extra) for part in (words[:half], words[half:]))


@cache
def _normalizer(language: str, extra: str) -> Any:
    try:
        from wetext import Normalizer
    except ModuleNotFoundError as error:
        raise MissingExtraError("wetext", extra, needed_for="text normalisation") from error
    return Normalizer(remove_erhua=False) if language == "zh" else Normalizer()
