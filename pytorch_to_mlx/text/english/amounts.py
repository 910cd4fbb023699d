"""Money and measures, one or a range of them: -$5, £1.2 billion, $5-10, 20 °C, 60 km/h, 5'10"."""

import re

from ..spoken import Rule
from .matching import DASH, END, START, next_word, one_of, words_before
from .numbers import NUMBER, cardinal
from .tables import ATTACHED, BRITISH, CURRENCIES, LENGTHS, PER, SCALES, SIGNS, UNITS


def _all_units() -> dict[str, tuple[str, str]]:
    """Return the units with square and cubic ones, and all in capitals too, where that is no other unit."""
    units = dict(UNITS)
    for unit in LENGTHS:
        for signs, word in ((("²", "2", "^2"), "square"), (("³", "3", "^3"), "cubic")):
            units |= {unit + sign: (f"{word} {UNITS[unit][0]}", f"{word} {UNITS[unit][1]}") for sign in signs}
    return {unit.upper(): words for unit, words in units.items() if len(unit) > 1} | units


_ALL_UNITS = _all_units()
_ATTACHED = frozenset(unit.upper() for unit in ATTACHED)
_NO_NOUNS = frozenset("and or to for in on at is was are were per but than as with by from if it he she".split())
_SIGN = rf"(?P<sign>{one_of(SIGNS)})?"
_SCALE = rf"(?:(?:{one_of(SCALES)}|\s{one_of(scale for scale in SCALES if len(scale) > 1)})(?!\w))"
_LONG_SCALE = r"(?:\s(?:thousand|million|billion|trillion)(?!\w))"
_CURRENCY = rf"{one_of(CURRENCIES)}\s?"
_EACH = rf"(?:\s?/\s?(?P<each>{one_of([*PER, *_ALL_UNITS])})(?![\w/]))?"
_MONEY = re.compile(
    rf"{START}{_SIGN}(?P<currency>{_CURRENCY})(?P<minus>-)?(?P<first>{NUMBER})(?P<scale>{_SCALE})?"
    rf"(?:{DASH}(?P<again>{_CURRENCY})?(?P<second>{NUMBER})(?P<scale2>{_SCALE})?)?{_EACH}{END}"
)
_MONEY_AFTER = re.compile(
    rf"{START}{_SIGN}(?P<minus>)(?P<first>{NUMBER})(?P<scale>{_SCALE})?"
    rf"(?:{DASH}(?P<again>)(?P<second>{NUMBER})(?P<scale2>{_SCALE})?)?\s?(?P<currency>{one_of(CURRENCIES)}){_EACH}{END}"
)
_CENTS = re.compile(rf"{START}{_SIGN}(?P<first>{NUMBER})\s?(?P<currency>[¢p]){_EACH}{END}")
_MEASURE = re.compile(
    rf"{START}{_SIGN}(?P<first>{NUMBER}{_LONG_SCALE}?)"
    rf"(?:(?P<unit1>\s?{one_of(_ALL_UNITS)})?{DASH}(?P<minus>-)?(?P<second>{NUMBER}{_LONG_SCALE}?))?"
    rf"(?P<gap>\s|-)?(?P<unit>{one_of(_ALL_UNITS)})(?![²³\w°]){_EACH}(?:{END}|(?=-[a-z]))(?:\.(?=\s[a-z]|[,;:]))?"
)
_HEIGHT = re.compile(rf"{START}(\d)\s?['′]\s?(1[01]|\d)(?:[\"″”]|''|′′|(?![\w.'′]))")
_FEET = re.compile(rf"{START}(\d+)\s?(?:ft|feet)\.?\s(1[01]|\d)\s?in\b\.?")
_INCHES = re.compile(rf"{START}({NUMBER})[\"″](?=[ -][A-Za-z])")
_SIZES = re.compile(
    rf"{START}({NUMBER})\s?[x×]\s?({NUMBER})(?:\s?[x×]\s?({NUMBER}))?(?:\s?(?P<unit>{one_of(_ALL_UNITS)}))?{END}"
)


def _money(match: re.Match[str], british: bool) -> str:
    first, second, currency = match["first"], match["second"], match["currency"].strip()
    scale, scale2 = ((match[name] or "").strip() for name in ("scale", "scale2"))
    said = SIGNS.get(match["sign"], "") + ("minus " if match["minus"] else "")
    last = _sum(second or first, scale2 if second else scale, currency, british, _is_attribute(match))
    if second and (match["again"] or (not scale2 and "." in first + second)):
        said += f"{_sum(first, scale, currency, british, False)} to "
    elif second:
        said += f"{cardinal(first, british)} {SCALES[scale] + ' ' if scale else ''}to "
    return said + last + _each(match, british)


def _sum(number: str, scale: str, currency: str, british: bool, singular: bool) -> str:
    """Return an amount of money: 5.30 dollars as "five dollars and thirty cents"."""
    one, many, cent, cents = CURRENCIES[currency]
    whole, _, hundredths = number.partition(".")
    if scale or (hundredths and (len(hundredths) != 2 or not cent)):
        scale = f"{SCALES[scale]} " if scale else ""
        return f"{cardinal(number, british)} {scale}{one if singular else many}"
    whole = whole or "0"
    parts: list[str] = []
    if int(re.sub("[, ]", "", whole)) or not int(hundredths or 0):
        parts.append(f"{cardinal(whole, british)} {one if singular or whole == '1' else many}")
    if int(hundredths or 0):
        parts.append(f"{cardinal(str(int(hundredths)), british)} {cent if singular or hundredths == '01' else cents}")
    return " and ".join(parts)


def _cents(match: re.Match[str], british: bool) -> str | None:
    if match["currency"] == "p" and (not british or not re.fullmatch(r"\d\d?", match["first"])):
        return None  # 1080p is a picture
    one, many = CURRENCIES["£" if match["currency"] == "p" else "$"][2:]
    word = one if match["first"] == "1" or _is_attribute(match) else many
    return f"{SIGNS.get(match['sign'], '')}{cardinal(match['first'], british)} {word}{_each(match, british)}"


def _measure(match: re.Match[str], british: bool) -> str | None:
    first, second, unit = match["first"], match["second"], match["unit"]
    if unit.upper() in _ATTACHED and (match["gap"] or "").isspace() and not _is_inches(match):
        return None  # 5 in a row
    if unit == "s" and not match["gap"] and first.endswith("0"):
        return None  # the 1990s
    said = SIGNS.get(match["sign"], "") + _cardinal(first, british)
    if second:
        unit1 = f" {_unit(match['unit1'].strip(), first == '1', british)}" if match["unit1"] else ""
        said += f"{unit1} to {'minus ' if match['minus'] else ''}{_cardinal(second, british)}"
    singular = (second or first) == "1" or match["gap"] == "-" or _is_attribute(match)
    joint = "-" if match["gap"] == "-" else " "
    return f"{said}{joint}{_unit(unit, singular, british)}{_each(match, british)}"


def _is_inches(match: re.Match[str]) -> bool:
    """Return whether "in" after a space is a unit: 12 in. long, 2.5 in wide, 8 in, not 5 in a row."""
    return (
        match[0].endswith(".")
        or "." in match["first"]
        or match.string[match.end() : match.end() + 1] in (",", ";", ")")
    )


def _cardinal(number: str, british: bool) -> str:
    scale = number.lstrip("0123456789., ")
    return f"{cardinal(number.removesuffix(scale).strip(), british)} {scale}".strip()


def _unit(unit: str, singular: bool, british: bool) -> str:
    words = _ALL_UNITS[unit][0 if singular else 1]
    for american, word in BRITISH.items() if british else ():
        words = words.replace(american, word)
    return words


def _each(match: re.Match[str], british: bool) -> str:
    each = match["each"]
    return f" per {PER.get(each) or _unit(each, True, british)}" if each else ""


def _is_attribute(match: re.Match[str]) -> bool:
    """Return whether the amount stands before what it measures: a 5km run."""
    noun = next_word(match)
    return words_before(match) in (["a"], ["an"]) and noun not in _NO_NOUNS and bool(noun)


def _inches(match: re.Match[str], british: bool) -> str | None:
    is_quoted = match[0].endswith('"') and match.string.count('"', 0, match.start()) % 2
    one_of_many = "inches" if next_word(match) in _NO_NOUNS else "inch"
    return None if is_quoted else f"{cardinal(match[1], british)} {one_of_many}"


def _sizes(match: re.Match[str], british: bool) -> str | None:
    if match[1].startswith("0"):
        return None  # 0x12 is hexadecimal
    joint = " times " if match.string[match.end() :].lstrip().startswith("=") else " by "
    said = joint.join(cardinal(number, british) for number in match.groups()[:3] if number)
    return f"{said} {_unit(match['unit'], False, british)}" if match["unit"] else said


RULES: tuple[Rule, ...] = (
    (_HEIGHT, lambda match, _: f"{cardinal(match[1])} foot {cardinal(match[2])}".removesuffix(" zero")),
    (_FEET, lambda match, british: f"{cardinal(match[1])} feet {cardinal(match[2])} inches"),
    (_INCHES, _inches),
    (_SIZES, _sizes),
    (_MONEY, _money),
    (_MONEY_AFTER, _money),
    (_CENTS, _cents),
    (_MEASURE, _measure),
)
