"""Columns of dates, each read in one order of day and month."""

from datetime import date

from dlmi_tasks.spect.tables.dates import (
    MONTH_MIDDLE,
    Order,
    OrderError,
    find_month_order,
    find_order,
    is_month,
    parse_day,
)
from dlmi_tasks.spect.tables.reading import Table
from dlmi_tasks.spect.tables.records import Problem
from dlmi_tasks.spect.tables.roles import IMAGES

MONTH_COLUMNS = ("INFODT", "DATSCAN_DATE")  # the study gives month and year; a spreadsheet adds a first day


def read_days(table: Table, column: str) -> tuple[list[date | None], list[Problem]]:
    """Day of each line, None where there is none, and what is wrong with the column."""
    if column not in table.columns:
        return [None] * len(table.lines), []
    texts = [line.fields[column] for line in table.lines]
    try:
        order = find_order(texts, default=_choose_default(table, column, texts))
    except OrderError as error:
        where = table.locate(table.lines[error.number])
        reason = f"column {column} holds {error}, from {texts[error.number]!r} on; none of its dates is used"
        return [None] * len(texts), [Problem(where, reason)]
    days = [parse_day(text, order) for text in texts]
    if column in MONTH_COLUMNS:
        days = _centre_months(texts, days)
    return days, _describe_order(table, column, order)


def _choose_default(table: Table, column: str, texts: list[str]) -> Order | None:
    """Order where no value decides: the image archive writes the month first, of others nothing is known."""
    if table.role in IMAGES:
        return "month"
    return find_month_order(texts) if column in MONTH_COLUMNS else None


def _centre_months(texts: list[str], days: list[date | None]) -> list[date | None]:
    """Put days into the middle of their month where all are its first, which is what a spreadsheet makes of 03/2012."""
    if any(day and day.day != 1 and not is_month(text) for text, day in zip(texts, days, strict=True)):
        return days
    return [day.replace(day=MONTH_MIDDLE) if day else None for day in days]


def _describe_order(table: Table, column: str, order: Order | None) -> list[Problem]:
    if order is not None:
        return []
    reason = f"column {column}: no value decides whether day or month comes first; dates such as 3/1/2012 are not used"
    return [Problem(str(table.path), reason)]
