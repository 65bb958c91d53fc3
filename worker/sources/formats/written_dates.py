"""Dates as account exports write them for people, in the athlete's language."""

import re
import unicodedata
from collections.abc import Iterable
from datetime import datetime

_YEAR_FIRST = re.compile(r"(\d{4})[-/.年]\s?(\d{1,2})[-/.月]\s?(\d{1,2})")
_YEAR_LAST = re.compile(r"(\d{1,2})\s?([./-])\s?(\d{1,2})\s?\2\s?(\d{4})")
_SHORT_YEAR = re.compile(r"\s*(\d{1,2})([./-])(\d{1,2})\2(\d{2})(?![\d./-])")
_DAY_MONTH = re.compile(r"(\d{1,2})[.\s]*(?:de\s+)?([^\W\d_]{3,})[.,]*\s*(?:de\s+)?(\d{4})")
_MONTH_DAY = re.compile(r"([^\W\d_]{3,})[.\s]\s*(\d{1,2}),?\s+(\d{4})")
_YEAR_MONTH_DAY = re.compile(r"(\d{4})\.?\s+([^\W\d_]{3,})\.?\s+(\d{1,2})")  # as in Hungary
_NUMBERED_MONTH = re.compile(r"(\d{1,2})\s+(?:thg|tháng)\s+(\d{1,2}),?\s+(\d{4})", re.IGNORECASE)
_CLOCK = re.compile(r"(\d{1,2})[:.h](\d{2})(?:[:.](\d{2}))?")
_AFTERNOON = re.compile(r"\bp\.?\s?m\b|下午|午後|오후", re.IGNORECASE)
_MORNING = re.compile(r"\ba\.?\s?m\b|上午|午前|오전", re.IGNORECASE)

_MONTHS = (
    "jan jän ene gen ian sty oca янв tam led",
    "feb fev fév fáb lut şub фев hel úno",
    "mar mär már mrt maa mac мар bře",
    "apr abr avr ápr kwi nis апр huh dub",
    "mai maj máj may mei mag май мая tou kvě",
    "jun jún juin giu iun cze haz июн kesä čer čvn",
    "jul júl juil lug iul lip tem июл heinä červenec čvc",
    "aug ago agu agt aou sie ağu авг elo srp",
    "sep set sze wrz eyl сен syys zář",
    "oct okt ott out paz eki окт lok říj",
    "nov lis noi kas ноя marr",
    "dec dez dic des déc gru ara дек jou pro",
)
"""How the names of each month begin, in European languages, Turkish and Indonesian: the first
three letters, or more if three aren't unique."""

_NOON = 12
_CENTURY = 2000


def _plain(word: str) -> str:
    """Lower case, without accents."""
    letters = unicodedata.normalize("NFKD", word.casefold())
    return "".join(letter for letter in letters if not unicodedata.combining(letter))


_MONTH_OF = {
    _plain(beginning): number
    for number, beginnings in enumerate(_MONTHS, 1)
    for beginning in beginnings.split()
}
_LONGEST_BEGINNING = max(map(len, _MONTH_OF))


def day_comes_first(texts: Iterable[str]) -> bool:
    """Whether 5/10/2014 is the fifth of October in this file, as shown by one of its dates.

    If none shows it, times with AM and PM suggest the American order.
    """
    american = False
    for text in texts:
        found = _YEAR_LAST.search(text) or _SHORT_YEAR.match(text)
        if not found or found[2] != "/":
            continue
        if int(found[1]) > _NOON or int(found[3]) > _NOON:
            return int(found[1]) > _NOON
        american |= bool(_AFTERNOON.search(text) or _MORNING.search(text))
    return not american


def written_at(text: str, *, day_first: bool = True) -> datetime | None:
    """The date and time in this text, without a zone, or None if it has none."""
    found = _date(text, day_first=day_first)
    if found is None:
        return None
    (year, month, day), rest = found
    clock = _CLOCK.search(rest)
    hour, minute, second = (int(part or 0) for part in clock.groups()) if clock else (0, 0, 0)
    if _AFTERNOON.search(rest) and hour < _NOON:
        hour += _NOON
    elif _MORNING.search(rest) and hour == _NOON:
        hour = 0
    try:
        return datetime(year, month, day, hour, minute, second)  # noqa: DTZ001  the caller's zone
    except ValueError:
        return None


def _date(text: str, *, day_first: bool) -> tuple[tuple[int, int, int], str] | None:
    """Year, month and day, and the text after them."""
    if found := _YEAR_FIRST.search(text):
        return (int(found[1]), int(found[2]), int(found[3])), text[found.end() :]
    if found := _YEAR_LAST.search(text) or _SHORT_YEAR.match(text):
        first, second = int(found[1]), int(found[3])
        day, month = (first, second) if day_first or found[2] != "/" else (second, first)
        year = int(found[4]) + (_CENTURY if found.re is _SHORT_YEAR else 0)
        return (year, month, day), text[found.end() :]
    if found := _NUMBERED_MONTH.search(text):
        return (int(found[3]), int(found[2]), int(found[1])), text[found.end() :]
    if found := _YEAR_MONTH_DAY.search(text):
        name, day, year = found[2], int(found[3]), int(found[1])
    elif found := _MONTH_DAY.search(text):
        name, day, year = found[1], int(found[2]), int(found[3])
    elif found := _DAY_MONTH.search(text):
        name, day, year = found[2], int(found[1]), int(found[3])
    else:
        return None
    month = _month(name)
    return ((year, month, day), text[found.end() :]) if month else None


def _month(name: str) -> int:
    """The number of a month by how its name begins; 0 for any other word."""
    plain = _plain(name)
    lengths = range(min(len(plain), _LONGEST_BEGINNING), 2, -1)
    return next((_MONTH_OF[plain[:n]] for n in lengths if plain[:n] in _MONTH_OF), 0)
