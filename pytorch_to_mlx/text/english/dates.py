"""Dates and times: 2024-01-05, Jan 5, 5/1/2024 by dialect, Mon-Fri, 7am, 7:30 p.m., 19:05, 9-5pm."""

import re

from ..spoken import Rule
from .matching import DASH, START, ends_sentence, one_of, words_before
from .numbers import cardinal, minutes, ordinal, year
from .tables import DAYS, MONTHS

_MONTHS = {month: month for month in MONTHS} | {month[:3]: month for month in MONTHS} | {"Sept": "September"}
_MONTH = rf"(?P<month>{one_of(_MONTHS)})(?:\.(?=,?\s[a-z\d]))?"
_END = r"(?![\w°]|[.:/\-–]\d)"
_ORDINAL = r"(?P<day>\d{1,2})(?:st|nd|rd|th)?"
_YEAR = r"(?P<year>1\d{3}|20\d\d)"
_ISO = re.compile(rf"{START}(?P<year>1\d{{3}}|20\d\d)([-/.])(?P<month>\d\d?)\2(?P<day>\d\d?){_END}")
_NUMERIC = re.compile(rf"{START}(?P<first>\d\d?)([/.-])(?P<second>\d\d?)\2(?P<year>1\d{{3}}|20\d\d|\d\d){_END}")
_SHORT = re.compile(rf"{START}(?P<first>\d\d?)/(?P<second>\d\d?){_END}")
_MONTH_DAY = re.compile(
    rf"\b{_MONTH}\s{_ORDINAL}(?:{DASH}(?P<last>\d{{1,2}})(?:st|nd|rd|th)?)?(?:(?P<comma>,?)\s{_YEAR})?{_END}(?!,\d{{3}})"
)
_DAY_MONTH = re.compile(
    rf"{START}(?P<the>[Tt]he\s)?{_ORDINAL}(?:{DASH}(?P<last>\d{{1,2}})(?:st|nd|rd|th)?)?(?P<of>\sof)?[\s-]{_MONTH}(?:(?P<comma>,?)[\s-]{_YEAR})?{_END}"
)
_MONTH_YEAR = re.compile(rf"\b(?P<month>{one_of(_MONTHS)})\.?\s(?=(?:1\d{{3}}|20\d\d){_END})")
_DAY_NAME = re.compile(rf"\b(?P<day>{one_of(DAYS)})\.?(?=,?\s(?:{one_of(_MONTHS)}|\d))")
_NAMES = {**DAYS, **{day: day for day in DAYS.values()}, **_MONTHS}
_SPAN = re.compile(
    rf"\b(?P<first>{one_of(_NAMES)})\.?{DASH}(?P<second>{one_of(_NAMES)})(?:\.(?=\s[a-z]|[,;:]))?(?![\w-])"
)
_HALF = r"(?:(?P<{0}half>[AaPp])(?:\.\s?[Mm]\.?|[Mm]))"
_CLOCK = (
    rf"{START}(?P<hour>\d\d?)(?:[:.](?P<minute>[0-5]\d))?(?:\s?{_HALF.format('')})?"
    rf"(?:(?P<dash>{DASH})(?P<to_hour>\d\d?)(?:[:.](?P<to_minute>[0-5]\d))?(?:\s?{_HALF.format('to_')})?)?"
    r"(?![\w°])(?![:/\-–]\d|[.,]\d)"
)
_TIME = re.compile(_CLOCK)


def _full_date(match: re.Match[str], british: bool) -> str | None:
    return _date(int(match["month"]), int(match["day"]), match["year"], british)


def _numeric_date(match: re.Match[str], british: bool) -> str | None:
    month, day = int(match["first"]), int(match["second"])
    if (british and day <= 12) or month > 12:
        month, day = day, month
    years = match["year"]
    if len(years) == 2:
        if match[2] != "/":
            return None  # 1.2.34 and 1-2-34 are versions and codes
        years = f"{'19' if years > '50' else '20'}{years}"
    return _date(month, day, years, british)


def _short_date(match: re.Match[str], british: bool) -> str | None:
    if words_before(match) not in (["on"], ["since"], ["until"], ["before"], ["after"], ["dated"], ["due"]):
        return None
    month, day = int(match["first"]), int(match["second"])
    return _date(*((day, month) if (british and day <= 12) or month > 12 else (month, day)), None, british)


def _date(month: int, day: int, years: str | None, british: bool) -> str | None:
    """Return a date as it is said: January fifth, twenty twenty-four; the fifth of January twenty twenty-four."""
    if not (1 <= month <= 12 and 1 <= day <= 31):
        return None
    if british:
        return f"the {ordinal(day)} of {MONTHS[month - 1]}" + (f" {year(years, True)}" if years else "")
    return f"{MONTHS[month - 1]} {ordinal(day)}" + (f", {year(years)}" if years else "")


def _month_day(match: re.Match[str], british: bool) -> str | None:
    day, last = int(match["day"]), int(match["last"] or 0)
    if not 1 <= day <= 31 or last > 31:
        return None
    the = "the " if british else ""
    said = f"{_MONTHS[match['month']]} {the}{ordinal(day)}" + (f" to {the}{ordinal(last)}" if last else "")
    return said + (f"{match['comma']} {year(match['year'], british)}" if match["year"] else "")


def _day_month(match: re.Match[str], british: bool) -> str | None:
    day, last = int(match["day"]), int(match["last"] or 0)
    if not 1 <= day <= 31 or last > 31:
        return None
    the = match["the"] or ("The " if not match.string[: match.start()].strip() else "the ")
    said = f"{the}{ordinal(day)}" + (f" to the {ordinal(last)}" if last else "")
    years = f"{match['comma']} {year(match['year'], british)}" if match["year"] else ""
    return f"{said} of {_MONTHS[match['month']]}{years}"


def _time(match: re.Match[str], british: bool) -> str | None:
    half, to_half = match["half"], match["to_half"]
    dot = match["minute"] and match.string[match.end("hour")] == "."
    if dot and not (half or to_half):
        return None  # 7.30 is a number
    if match["dash"]:
        is_clock = half or to_half or (match["minute"] and match["to_minute"])
        if not is_clock or not (_is_time(match["hour"], half or to_half) and _is_time(match["to_hour"], to_half)):
            return None
        first = _clock(match["hour"], match["minute"], half, bare=bool(to_half) and not half)
        return f"{first} to {_clock(match['to_hour'], match['to_minute'], to_half)}{_stop(match)}"
    if not (half or match["minute"]) or not _is_time(match["hour"], half):
        return None
    return _clock(match["hour"], match["minute"], half) + _stop(match)


def _is_time(hour: str, half: str | None) -> bool:
    return 1 <= int(hour) <= 12 if half else int(hour) <= 23


def _clock(hour: str, minute: str | None, half: str | None, bare: bool = False) -> str:
    """Return a time: seven thirty PM, nineteen oh five, seven o'clock. bare: half of the day is said afterwards."""
    said = [cardinal(str(int(hour)))]
    if minute and int(minute):
        said.append(minutes(minute))
    elif not half and not bare:
        if int(hour) in (0, 24):
            return "midnight"
        said.append("o'clock" if int(hour) <= 12 else "hundred")
    if half:
        said.append(f"{half.upper()}M")  # misaki says AM as letters after a number
    return " ".join(said)


def _stop(match: re.Match[str]) -> str:
    """Return the full stop that p.m. has taken from the end of a sentence."""
    return "." if match[0].endswith(".") and ends_sentence(match) else ""


def _span(match: re.Match[str], _: bool) -> str | None:
    first, second = _NAMES[match["first"]], _NAMES[match["second"]]
    return f"{first} to {second}" if (first in MONTHS) == (second in MONTHS) else None


RULES: tuple[Rule, ...] = (
    (_SPAN, _span),
    (_ISO, _full_date),
    (_NUMERIC, _numeric_date),
    (_SHORT, _short_date),
    (_MONTH_DAY, _month_day),
    (_DAY_MONTH, _day_month),
    (_MONTH_YEAR, lambda match, _: f"{_MONTHS[match['month']]} "),
    (_DAY_NAME, lambda match, _: DAYS[match["day"]]),
    (_TIME, _time),
)
