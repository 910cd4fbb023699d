"""Words that are not written as they are said: abbreviations, addresses, telephone numbers, Roman numerals, signs."""

import re
import unicodedata

from ..spoken import Rule
from .matching import ends_sentence, one_of
from .numbers import cardinal, digits, ordinal
from .tables import (
    ABBREVIATIONS,
    AFTER_NAMES,
    DOMAINS,
    GREEK,
    NUMBERED,
    ROADS,
    ROMAN_AFTER,
    RULERS,
    SPELLED_DOMAINS,
    TITLES,
    URL_SIGNS,
)

_GUARD, _NO_MORE = r"(?<![\w.,:/$£€\-–+])", r"(?![\w\-–/]|[.:,]\d)"
_PHONE = re.compile(
    rf"{_GUARD}(?:\+?1[ .-])?(?:\(\d{{2,5}}\)\s?|\d{{3,5}}[ .-])\d{{3,4}}[ .-]\d{{3,4}}{_NO_MORE}"
    rf"|{_GUARD}\+\d{{1,3}}(?:[ .-]?\(?\d{{1,4}}\)?){{2,5}}{_NO_MORE}"
    rf"|{_GUARD}(?:\d{{3}}-\d{{4}}|\d{{3}}-\d{{2}}-\d{{4}}){_NO_MORE}"
)
_EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]+@[\w-]+(?:\.[\w-]+)+(?!\w)")
_URL = re.compile(
    rf"\b(?:https?://|www\.)[^\s<>\"“”]+[^\s<>\"“”.,;:!?)'\]]"
    rf"|(?<![\w.@/-])(?:[a-z0-9-]+\.)+{one_of(DOMAINS)}(?:/[^\s<>\"“”]*[^\s<>\"“”.,;:!?)'\]])?(?![\w.@-]*\w)"
)
_TITLE = re.compile(rf"\b(?P<word>{one_of(TITLES)})\.\s(?=[A-Z])")
_SAINT = re.compile(r"\bSt\.?\s(?=[A-Z][a-z])")
_ROAD = re.compile(rf"(?<=[A-Za-z])(?<!\bthe)\s(?P<word>{one_of(ROADS)})(?:\.|(?=,|\s*$))")
_AFTER_NAME = re.compile(rf"(?<=\w)(?P<comma>,?)\s(?P<word>{one_of(AFTER_NAMES)})\.")
_ABBREVIATION = re.compile(rf"(?<![\w.])(?i:(?P<word>{one_of(ABBREVIATIONS)}))\.(?!\w)|\b(?P<vs>vs|v\.)(?=\s)")
_NUMBERED = re.compile(rf"(?<![\w.])(?P<word>No|NO|(?!sec)(?i:{one_of(NUMBERED)}))(?P<many>s?)\.\s*(?=\d)")
_HASH = re.compile(r"(?<![\w#&])#(\d[\d,]*)(?!\w)")
_WITH = re.compile(r"(?<!\w)w/(?:(o)\b|\s?(?=\w))")
_SHARP = re.compile(r"\b([CF])#(?!\w)")
_NUMERAL = r"(?P<numeral>(?=[IVXL])(?:XL|L?X{0,3})(?:IX|IV|V?I{0,3}))"
_NUMBER_IN_ROMAN = re.compile(rf"\b(?P<word>(?i:{one_of(ROMAN_AFTER)}))\.?\s{_NUMERAL}(?![\w'-])")
_NAME = r"(?:Pope|King|Queen|Emperor|Tsar)\s[A-Z][a-z]+(?:\s[A-Z][a-z]+)?"
_RULER = re.compile(rf"\b(?P<word>{one_of(RULERS)}|{_NAME})\s{_NUMERAL}(?!\w|'[a-rt-z])")
_POWER = re.compile(r"(?<=[\w)])(?:(⁻?[⁰¹²³⁴-⁹]+)|\^(-?\d+))(?!\w)")
_WORLD_WAR = re.compile(r"\bWW(I{1,2}|[12])\b")
_A_TO_Z = re.compile(r"\bA[-–]Z\b")
_GREEK = re.compile(rf"(?<![^\W\d_])(?i:{one_of(GREEK)})(?![^\W\d_])")
_DASH = re.compile(r"(?<=\S)[^\S\n]+(?:--+|-)[^\S\n]+(?=[^\W\d])|(?<=\w)--+(?=\w)|(?<=\w)--+(?=\s|$)")
_ROMAN = {"I": 1, "V": 5, "X": 10, "L": 50}


def _phone(match: re.Match[str], _: bool) -> str | None:
    groups = re.findall(r"\d+", match[0])
    if sum(map(len, groups)) < 7 or re.fullmatch(r"\d{1,3}(\.\d{1,3}){3}", match[0]):
        return None  # too short, or an address of the internet
    return ("plus " if match[0].startswith("+") else "") + ", ".join(digits(group) for group in groups)


def _address(match: re.Match[str], british: bool) -> str:
    """Return an address of the web or of mail as it is read out."""
    words: list[str] = []
    text = re.sub(r"^https?://", "", match[0]).rstrip("/")
    for part in re.findall(r"[^\W\d_]+|\d+|[^\w\s]|_", text):
        if part.isdecimal():
            words.append(cardinal(part, british) if len(part) < 5 and not part.startswith("0") else digits(part))
        elif part in URL_SIGNS:
            words.append(URL_SIGNS[part])
        elif part == "www" or (part in SPELLED_DOMAINS and words[-1:] == ["dot"]):
            words.append(" ".join(part.upper()))
        else:
            words.append(part)
    return " ".join(words)


def _road(match: re.Match[str], _: bool) -> str | None:
    name = re.search(r"([A-Z][a-z]+|\d(?:st|nd|rd|th))$", match.string[: match.start()])
    if name is None or (match["word"] == "Dr" and re.match(r"\s[A-Z]", match.string[match.end() :])):
        return None
    return f" {ROADS[match['word']]}{_stop(match)}"


def _saint(match: re.Match[str], _: bool) -> str | None:
    before = re.search(r"([A-Z][a-z]+|\d(?:st|nd|rd|th))\s$", match.string[: match.start()])
    is_place = before is None or before[1] in ("The", "In", "At", "On", "From", "Near", "Mount", "Visit")
    return "Saint " if is_place else None


def _after_name(match: re.Match[str], _: bool) -> str:
    return f"{match['comma']} {AFTER_NAMES[match['word']]}{_stop(match)}"


def _abbreviation(match: re.Match[str], _: bool) -> str | None:
    if match["vs"]:
        return "versus"
    word = match["word"]
    said = ABBREVIATIONS.get(word, ABBREVIATIONS.get(word.lower(), ""))
    if word.lower() in ("max", "min", "temp", "est", "apt", "ext", "tel", "ca") and ends_sentence(match):
        return None  # a name or a word at the end of a sentence
    is_last = word.lower() in ("etc", "et al") or not match.string[match.end() :].strip()
    stop = _stop(match) if is_last else ""
    return (said.capitalize() if word[0].isupper() else said) + stop


def _stop(match: re.Match[str]) -> str:
    """Return the full stop that an abbreviation has taken from the end of a sentence."""
    return "." if match[0].endswith(".") and ends_sentence(match) else ""


def _numbered(match: re.Match[str], _: bool) -> str:
    said = NUMBERED.get(match["word"].lower(), ("number", "numbers"))[1 if match["many"] else 0]
    return f"{said.capitalize() if match['word'][0].isupper() else said} "


def _roman(numeral: str) -> int:
    values = [_ROMAN[letter] for letter in numeral]
    return sum(-value if value < max(values[i:]) else value for i, value in enumerate(values))


def _number_in_roman(match: re.Match[str], british: bool) -> str | None:
    if match["numeral"] == "I" and not (
        match["word"][0].isupper() and (ends_sentence(match) or match.string[match.end() : match.end() + 1] in ":,.;")
    ):
        return None  # the pronoun
    word = match["word"]
    if word.lower() == "vol":
        word = "Volume" if word[0].isupper() else "volume"
    return f"{word} {cardinal(str(_roman(match['numeral'])), british)}"


def _ruler(match: re.Match[str], british: bool) -> str | None:
    if match["numeral"] == "I" and not re.match(
        r"[.,;:!?)']|\s*$|\s(of|was|and|in|had)\b", match.string[match.end() :]
    ):
        return None
    return f"{match['word']} the {ordinal(_roman(match['numeral']), british)}"


def _power(match: re.Match[str], _: bool) -> str:
    exponent = unicodedata.normalize("NFKC", match[1] or match[2]).replace("−", "-")
    minus = "minus " if exponent.startswith("-") else ""
    return {"2": " squared", "3": " cubed"}.get(exponent, f" to the power of {minus}{cardinal(exponent.lstrip('-'))}")


NUMBERED_RULES: tuple[Rule, ...] = ((_NUMBERED, _numbered),)  # before the rest, so that pp.5-7 is a range
RULES: tuple[Rule, ...] = (
    (_EMAIL, _address),
    (_URL, _address),
    (_PHONE, _phone),
    (_TITLE, lambda match, _: f"{TITLES[match['word']]} "),
    (_SAINT, _saint),
    (_ROAD, _road),
    (_AFTER_NAME, _after_name),
    (_ABBREVIATION, _abbreviation),
    (_HASH, lambda match, _: f"number {match[1]}"),
    (_WITH, lambda match, _: "without" if match[1] else "with "),
    (_WORLD_WAR, lambda match, _: f"World War {'one' if match[1] in ('I', '1') else 'two'}"),
    (_A_TO_Z, lambda *_: "A to Z"),
    (_SHARP, lambda match, _: f"{match[1]} sharp"),
    (_RULER, _ruler),
    (_NUMBER_IN_ROMAN, _number_in_roman),
)
SIGN_RULES: tuple[Rule, ...] = (  # after the amounts, whose units have such signs
    (_POWER, _power),
    (_GREEK, lambda match, _: GREEK.get(match[0].lower())),
    (_DASH, lambda match, _: " — " if match[0][:1].isspace() else "—"),
)
