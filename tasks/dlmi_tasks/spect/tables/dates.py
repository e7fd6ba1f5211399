"""Dates of the tables. Whether 3/1 is in March or January is decided by the whole column, never by one value."""

import re
from collections.abc import Iterable
from datetime import date, timedelta
from functools import lru_cache
from typing import Literal

Order = Literal["month", "day"]  # which of the two comes first

ISO = re.compile(r"(\d{4})-(\d{1,2})-(\d{1,2})(?:[T ].*)?", re.ASCII)
PARTED = re.compile(r"(\d{1,2})([/.-])(\d{1,2})\2(\d{4}|\d{2})(?: .*)?", re.ASCII)
NAMED = re.compile(r"(\d{1,2})[- ]([a-z]{3})[a-z]*[- ](\d{4}|\d{2})", re.ASCII | re.IGNORECASE)
MONTH_YEAR = re.compile(r"(\d{1,2})[/-](\d{4})", re.ASCII)
NAMED_MONTH = re.compile(r"([a-z]{3})[a-z]*[- ](\d{4}|\d{2})", re.ASCII | re.IGNORECASE)
SERIAL = re.compile(r"(\d{5})(?:\.\d+)?", re.ASCII)
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
MONTH_MIDDLE = 15  # of a date that gives month and year only
YEARS = range(1900, 2100)  # the archive masks some dates as year 9999
CENTURY_TURN = 69  # two-digit years from here on are of the last century
EPOCH = date(1899, 12, 30)  # day 0 of a spreadsheet's serial numbers


class OrderError(ValueError):
    """Some values of a column need the day first and others the month; `number` is the place of the first such."""

    def __init__(self, number: int) -> None:
        super().__init__("values that need the day first and values that need the month first")
        self.number = number


def find_order(texts: Iterable[str], *, default: Order | None) -> Order | None:
    """Find what all values of a column agree on; `default` where none decides.

    Raises:
        OrderError: they disagree.
    """
    pairs = [(i, int(found[1]), int(found[3])) for i, text in enumerate(texts) if (found := _match_order(text))]
    day_first = next((i for i, first, _ in pairs if first > 12), None)
    month_first = next((i for i, _, second in pairs if second > 12), None)
    if day_first is not None and month_first is not None:
        raise OrderError(max(day_first, month_first))
    if day_first is not None:
        return "day"
    if month_first is not None or all(first == second for _, first, second in pairs):
        return "month"
    return default


def find_month_order(texts: Iterable[str]) -> Order | None:
    """Find the order in a column of months, of which a spreadsheet makes first days: what is always 1 is the day."""
    pairs = {(int(found[1]), int(found[3])) for text in texts if (found := _match_order(text))}
    if {first for first, _ in pairs} == {1}:
        return "day"
    return "month" if {second for _, second in pairs} == {1} else None


def _match_order(text: str) -> re.Match[str] | None:
    """Match a date whose order is open; with dots the day comes first everywhere."""
    found = PARTED.fullmatch(text)
    return found if found and found[2] != "." else None


@lru_cache(maxsize=1 << 14)
def parse_day(text: str, order: Order | None = "month") -> date | None:
    """A date in any of the forms; the middle of the month for month and year; None for anything else.

    Args:
        order: Order of day and month in 3/1/2012; with None such a date is none, unless both are the same.
    """
    if found := ISO.fullmatch(text):
        return _make_day(found[1], found[2], found[3])
    if found := PARTED.fullmatch(text):
        return _parse_parted(found, order)
    if found := NAMED.fullmatch(text):
        return _make_day(found[3], _find_month(found[2]), found[1])
    if found := MONTH_YEAR.fullmatch(text):
        return _make_day(found[2], found[1], MONTH_MIDDLE)
    if found := NAMED_MONTH.fullmatch(text):
        return _make_day(found[2], _find_month(found[1]), MONTH_MIDDLE)
    return None


def is_month(text: str) -> bool:
    """Check whether a date gives month and year only."""
    return bool(MONTH_YEAR.fullmatch(text) or NAMED_MONTH.fullmatch(text))


def _parse_parted(found: re.Match[str], order: Order | None) -> date | None:
    first, mark, second, year = found.groups()
    if mark == "." or order == "day":
        return _make_day(year, second, first)
    return _make_day(year, first, second) if order or int(first) == int(second) else None


def _find_month(name: str) -> int:
    """Number of a month by its first letters; 0, which is none, for other words."""
    return MONTHS.index(name.lower()) + 1 if name.lower() in MONTHS else 0


def _make_day(year: str, month: str | int, day: str | int) -> date | None:
    number = int(year)
    if len(year) == 2:
        number += 1900 if number >= CENTURY_TURN else 2000
    if number not in YEARS:
        return None
    try:
        return date(number, int(month), int(day))
    except ValueError:
        return None


def read_serial(text: str, epoch: date = EPOCH) -> str:
    """A workbook's serial number of a day as ISO date; any other text as it is."""
    found = SERIAL.fullmatch(text)
    return (epoch + timedelta(days=int(found[1]))).isoformat() if found else text
