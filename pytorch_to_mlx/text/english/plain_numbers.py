"""Numbers without a unit: ranges, fractions, signs, decimals, arithmetic."""

import re
import unicodedata

from ..spoken import Rule
from .matching import DASH, END, START, next_word, one_of, words_before
from .numbers import NUMBER, cardinal, year
from .tables import (
    DENOMINATORS,
    HOURS_BEFORE,
    MEASURES,
    NOT_RANGES,
    PLURALS,
    RANGE_ADJECTIVES,
    RANGE_BEFORE,
    SCORE_AFTER,
    SCORE_BEFORE,
    SIGNS,
    UNITS,
)

_RANGE = re.compile(rf"{START}(?P<first>{NUMBER})(?P<dash>{DASH})(?P<second>{NUMBER}){END}")
_SIGNED = re.compile(rf"{START}(?P<sign>{one_of(SIGNS)}|[≤≥≈±] )(?P<first>{NUMBER}){END}")
_DECIMAL = re.compile(rf"{START}(?:\d{{1,3}}(?:,\d{{3}})+|\d*)\.\d+{END}")
_VULGAR = "¼½¾⅐⅑⅒⅓⅔⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞"
_FRACTION = re.compile(
    rf"{START}(?P<sign>-)?(?:(?:(?P<whole>\d+)(?:\s|-))?(?P<top>\d{{1,2}})/(?P<bottom>\d{{1,3}})"
    rf"|(?P<whole2>\d+)?\s?(?P<vulgar>[{_VULGAR}]))(?:{END}|(?=-[a-z]))(?:(?P<joint>[ -])(?P<noun>[A-Za-z]+)(?!\w))?"
)
_DECADES = re.compile(rf"(?<![\w.,:/-])('?\d{{1,3}}0s|\d+[kKMB]){DASH}('?\d{{1,3}}0s|\d+[kKMB])(?!\w)")
_RATIO = re.compile(rf"{START}(\d+):(\d+){END}")
_RATIO_WORDS = frozenset("ratio odds aspect scale".split())
_PLURAL = re.compile(r"[a-z]{2,}[^sui']s")
_GROUPED = re.compile(r"(?<![\w.,])\d{1,3}(?:[\u00a0\u2007\u2009\u202f]\d{3})+(?!\d)")  # 5 200: thin spaces
_EUROPEAN = re.compile(
    r"(?<![\w.,])(\d{1,3}(?:\.\d{3})+),(\d\d?)(?!\d)"  # 1.234,56
    r"|(?<=€)(\d+),(\d\d)(?!\d)"
    r"|(?<![\w.,])(\d+),(\d\d?)(?=\s?(?:[kcm]?m|k?g|[lL]|€|%|°C)(?!\w))"  # 3,5 kg
)
_OPERATORS = {"-": "minus", "–": "minus", "×": "times", "*": "times", "÷": "divided by", "/": "divided by"}
_OPERATION = re.compile(
    rf"(?<=\d)\s({one_of(_OPERATORS)})\s(?=\d[\d.]*(?:\s[+\-–×*÷/]\s[\d.]+)*\s?=)|(?<=\d)\s?([×÷])\s?(?=\d)"
)


def _range(match: re.Match[str], british: bool) -> str | None:
    first, second = match["first"], match["second"]
    low, high = (float(re.sub("[, ]", "", number)) for number in (first, second))
    before, after = words_before(match, 4), next_word(match).lower()
    if re.match("0[0-9]", first) or re.match("0[0-9]", second):
        return None
    if _is_year(first) and _is_year(second) and low < high and not _is_plural(match):
        return f"{year(first, british)} to {year(second, british)}"
    if SCORE_BEFORE.intersection(before) or after in SCORE_AFTER:
        return None
    if _is_year(first) and re.fullmatch(r"\d\d", second):  # 2023-24, but 2024-11 is a month
        rise = int(second) - int(first[2:])
        return f"{year(first, british)} to {cardinal(second)}" if rise == 1 or (rise > 0 and high > 12) else None
    has_word = bool(before) and (before[-1] in RANGE_BEFORE or _PLURAL.fullmatch(before[-1]) is not None)
    if low > high and high < 13 and HOURS_BEFORE.intersection(re.split("[-–]", before[-1])[-1:] if before else ()):
        return f"{cardinal(first, british)} to {cardinal(second, british)}"  # from 9-5
    if low >= high or ((first, second) in NOT_RANGES and not has_word):
        return None
    if match["dash"].strip() == "–" or has_word or _is_plural(match):
        return f"{cardinal(first, british)} to {cardinal(second, british)}"
    return None


def _is_year(number: str) -> bool:
    return re.fullmatch(r"1\d{3}|20\d\d", number) is not None


def _is_plural(match: re.Match[str]) -> bool:
    """Return whether several of something follow: 10-15 minutes, a 3-5 day trip, 2-3 more people."""
    words = re.match(r"((?: |-)[A-Za-z]+)?((?: |-)[A-Za-z]+)?", match.string[match.end() :])
    nouns = [(word or "").strip(" -").lower() for word in words.groups()] if words else []
    noun = nouns[1] if nouns[0] in RANGE_ADJECTIVES else nouns[0]
    return noun in PLURALS or noun in MEASURES or _PLURAL.fullmatch(noun) is not None


def _fraction(match: re.Match[str], british: bool) -> str | None:
    if match["vulgar"]:
        top, bottom = unicodedata.normalize("NFKC", match["vulgar"]).split("⁄")
    else:
        top, bottom = match["top"], match["bottom"]
    whole, joint, noun = match["whole"] or match["whole2"], match["joint"] or "", match["noun"] or ""
    n, parts = int(top), int(bottom)
    typed = joint + noun
    minus = "minus " if match["sign"] else ""
    if (
        not match["vulgar"]
        and not whole
        and noun != "of"
        and noun not in _SINGULARS
        and parts in (10, 100)
        and n <= parts
    ):
        return f"{cardinal(top)} out of {cardinal(bottom, british)}{typed}"
    if noun == "stars":
        return f"{cardinal(top)} out of {cardinal(bottom)}{typed}"
    if parts not in DENOMINATORS or not 0 < n < parts or noun == "time":
        return None
    one, many = DENOMINATORS[parts]
    if whole and noun in _SYMBOLS and joint == " ":
        typed = f" {UNITS[noun][1]}"
    if whole:
        part = f"{_article(one)} {one}" if n == 1 else f"{cardinal(top)} {many}"
        return f"{minus}{cardinal(whole, british)} and {part}{typed}"
    if joint == "-":
        return f"{minus}{'' if parts == 2 else cardinal(top) + '-'}{one}{typed}"
    singular = _SINGULARS.get(noun)
    if singular:
        part = one if parts == 2 else f"{_article(one)} {one} of" if n == 1 else f"{cardinal(top)} {many} of"
        return f"{minus}{part} {_article(singular)} {singular}"
    if parts == 2 and (
        noun in ("of", "the", "a", "an", "price", "off", "as") or (match["vulgar"] and noun not in ("", "and", "or"))
    ):
        return f"{minus}half{typed}"
    return f"{minus}{cardinal(top)} {one if n == 1 else many}{typed}"


def _article(word: str) -> str:
    return "an" if word[0] in "aeio" or word == "hour" else "a"


_SYMBOLS = frozenset(unit for unit in UNITS if unit.isalpha() and unit != "in")
_SINGULARS = {unit: UNITS[unit][0] for unit in _SYMBOLS} | {
    word: singular for singular, plural in MEASURES.items() for word in (singular, plural)
}


def _ratio(match: re.Match[str], british: bool) -> str | None:
    if not _RATIO_WORDS.intersection([*words_before(match, 3), next_word(match).lower()]):
        return None
    return f"{cardinal(match[1], british)} to {cardinal(match[2], british)}"


def _european(match: re.Match[str], _: bool) -> str:
    whole, decimals = (part for part in match.groups() if part)
    return f"{whole.replace('.', ',')}.{decimals}"


def _operation(match: re.Match[str], _: bool) -> str:
    return f" {_OPERATORS[match[1] or match[2]]} "


WRITTEN_RULES: tuple[Rule, ...] = (  # how English writes the numbers that others write otherwise
    (_GROUPED, lambda match, _: re.sub(r"\s", ",", match[0])),
    (_EUROPEAN, _european),
)
RULES: tuple[Rule, ...] = (
    (_OPERATION, _operation),
    (_DECADES, lambda match, _: f"{match[1]} to {match[2]}"),
    (_RATIO, _ratio),
    (_FRACTION, _fraction),
    (_RANGE, _range),
    (_SIGNED, lambda match, british: SIGNS[match["sign"].strip()] + cardinal(match["first"], british)),
    (_DECIMAL, lambda match, british: cardinal(match[0], british)),
)
