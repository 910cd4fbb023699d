"""Moses' normalisation of punctuation, through the library sacremoses: what OPUS-MT's training text went through."""

from collections.abc import Callable

from ..errors import MissingExtraError, UsageError

LANGUAGES = ("en", "de", "es", "cz", "cs", "fr")  # that have rules of their own


def normalizer(name: str, *, extra: str) -> Callable[[str], str]:
    """Return the function of a name: "moses", or "moses:de" with the rules of a language for quotes and numbers.

    Quotes, dashes and ellipses become plain ones, and the space before some marks goes.
    Raises: UsageError for another name; MissingExtraError without the package sacremoses.
    """
    kind, _, language = name.partition(":")
    if kind != "moses" or (language and language not in LANGUAGES):
        raise UsageError(f"normalize is '{name}'", fix=f"use moses, or moses: and one of {', '.join(LANGUAGES)}")
    try:
        from sacremoses import MosesPunctNormalizer
    except ModuleNotFoundError as error:
        raise MissingExtraError(str(error.name), extra, needed_for="normalising punctuation") from None
    return MosesPunctNormalizer(language or "en").normalize
