"""Values of the tables in every form: exact cases, and properties of all of them."""

import re
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlmi_tasks.spect.tables.columns import COLUMNS, find_doubled, match_columns
from dlmi_tasks.spect.tables.dates import OrderError, find_order, parse_day, read_serial
from dlmi_tasks.spect.tables.reading import find_delimiter
from dlmi_tasks.spect.tables.values import (
    parse_decimal,
    parse_group,
    parse_image_id,
    parse_nsd,
    parse_sex,
    parse_stage,
    parse_subject,
    parse_tracer,
)
from dlmi_tasks.spect.tables.visits import find_event

DAYS = st.dates(date(1930, 1, 1), date(2099, 12, 31))


@given(st.integers(1, 10**9), st.sampled_from(["{}", "{}.0", "sub-PPMI{}", "PPMI_{}", " {} "]))
def test_subjects(number: int, form: str) -> None:
    """A subject has one number in every form."""
    assert parse_subject(form.format(number)) == str(number)


@given(st.integers(1, 10**9), st.sampled_from(["{}", "I{}", "i{}", "{}.0", "I{}.0"]))
def test_image_ids(number: int, form: str) -> None:
    """So has an image."""
    assert parse_image_id(form.format(number)) == str(number)


@pytest.mark.parametrize("text", ["80001A", "\uff18\uff10", "8.5", "", "-1"])
def test_other_ids_are_kept(text: str) -> None:
    """What is no number in ASCII digits stays as it is, and so joins nothing else."""
    assert parse_subject(text) == parse_image_id(text) == text


@given(st.floats(0, 5), st.sampled_from([".", ","]))
def test_stages(stage: float, mark: str) -> None:
    """Every number from 0 to 5 is a stage, with a decimal point or comma."""
    assert parse_stage(f"{stage:.6f}".replace(".", mark)) == float(f"{stage:.6f}")


@pytest.mark.parametrize("text", ["", " ", "UR", "ur", "101", "101.0", "101,0"])
def test_missing_stages(text: str) -> None:
    assert parse_stage(text) is None


@pytest.mark.parametrize("text", ["-1", "5.1", "1,2,3", "1.000,5", "0_3", "nan", "inf", "\uff13", "two"])
def test_what_is_no_stage(text: str) -> None:
    with pytest.raises(ValueError):
        parse_stage(text)


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    """No text ends a load: a parser gives a value of its kind or a ValueError."""
    for parse in (parse_subject, parse_image_id, parse_group, parse_sex, parse_tracer, parse_nsd):
        assert isinstance(parse(text), str)
    assert isinstance(find_event(text), str | None)
    assert isinstance(parse_day(text), date | None)
    for refuse in (parse_decimal, parse_stage):
        try:
            refuse(text)
        except ValueError:
            continue
    assert find_delimiter(text) in ",;\t"


@given(DAYS)
def test_days(day: date) -> None:
    """A day is the same in every form that names it whole, with the month first or the day."""
    month = ("Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec").split()[day.month - 1]
    for text in (day.isoformat(), f"{day} 10:30:00.0", f"{day.day:02}-{month}-{day.year}", f"{day:%d.%m.%Y}"):
        assert parse_day(text, None) == day, text
    assert parse_day(f"{day.month}/{day.day}/{day.year}", "month") == day
    assert parse_day(f"{day.day}/{day.month}/{day.year}", "day") == day
    assert read_serial(str((day - date(1899, 12, 30)).days)) == day.isoformat()


@given(DAYS)
def test_months(day: date) -> None:
    """Month and year are the middle of the month."""
    middle = day.replace(day=15)
    assert parse_day(f"{day:%m/%Y}") == parse_day(f"{day.month}/{day.year}") == middle
    assert parse_day(f"{day:%b-%Y}") == middle
    if day.year < 2069:
        assert parse_day(f"{day:%b-%y}") == middle.replace(year=day.year if day.year > 1968 else day.year + 100)


@pytest.mark.parametrize("text", ["", "soon", "13/2012", "2012", "9999-01-01", "31/2/2012", "2012-02-30", "40940"])
def test_what_is_no_day(text: str) -> None:
    """A year 9999, with which the archive masks dates, is none either."""
    assert parse_day(text) is None


@given(st.lists(DAYS, min_size=1), st.sampled_from(["month", "day"]))
def test_order_is_found_wherever_a_day_decides(days: list[date], order: str) -> None:
    """A column has the order it was written in as soon as one day is after the 12th, and else what is assumed."""
    form = "{0.month}/{0.day}/{0.year}" if order == "month" else "{0.day}/{0.month}/{0.year}"
    found = find_order([form.format(day) for day in days], default=None)
    if any(day.day > 12 for day in days):
        assert found == order
    elif any(day.day != day.month for day in days):
        assert found is None


def test_both_orders_name_the_row() -> None:
    """The row is the first at which the column cannot be read in one order any more."""
    with pytest.raises(OrderError) as caught:
        find_order(["1/2/2012", "1/20/2012", "", "20/1/2012"], default="month")
    assert caught.value.number == 3


@pytest.mark.parametrize(
    ("month", "code"),
    [
        *((3, "V01"), (6, "V02"), (9, "V03"), (12, "V04"), (18, "V05"), (24, "V06"), (30, "V07"), (36, "V08")),
        *((42, "V09"), (48, "V10"), (54, "V11"), (60, "V12"), (72, "V13"), (84, "V14"), (96, "V15"), (108, "V16")),
        *((120, "V17"), (132, "V18"), (144, "V19"), (156, "V20"), (168, "V21"), (180, "V22"), (216, "V25")),
        *((13, None), (228, None)),
    ],
)
def test_months_of_visits(month: int, code: str | None) -> None:
    """Each month of the study has its code in any case and spacing; other months have none."""
    for name in (f"Month {month}", f"MONTH{month}", f" month  {month:02} "):
        assert find_event(name) == code


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("Screening", "SC"),
        ("baseline", "BL"),
        ("Remote Visit 3", "R03"),
        ("Remote Visit #3", None),
        ("Unscheduled Visit 01", "U01"),
        ("unscheduled visit 6", "U06"),
        ("Symptomatic Therapy", "ST"),
        ("Premature Withdrawal", "PW"),
        ("Screening/Baseline Combined", "SCBL"),
        ("", None),
        ("Month", None),
        ("V4", None),
    ],
)
def test_names_of_visits(name: str, code: str | None) -> None:
    assert find_event(name) == code


@pytest.mark.parametrize("code", "SC BL ST PW RS1 RS2 SCBL FNL TRANS V04 V25 R01 U03".split())
def test_codes_are_taken_as_they_are(code: str) -> None:
    assert find_event(code) == find_event(f" {code.lower()} ") == code


def test_groups_tracers_and_stages_of_biology() -> None:
    """Words and numbers have one spelling each; what is not known is kept."""
    assert [parse_group(text) for text in ("1.0", "control", "Gencohort  Unaff", "AV133", "New Group")] == [
        "PD",
        "HC",
        "GenCohort Unaff",
        "AV133",
        "New Group",
    ]
    assert [parse_tracer(text) for text in ("", "123I-Ioflupane", "99mTc-TRODAT-1")] == [
        "ioflupane",
        "ioflupane",
        "99mTc-TRODAT-1",
    ]
    assert [parse_nsd(text) for text in ("2b", "Stage 3", "4.0")] == ["2B", "3", "4"]
    assert [parse_sex(text) for text in ("0", "1.0", "Female", "m", "2")] == ["F", "M", "F", "M", ""]


@given(st.sampled_from([name for names in COLUMNS.values() for name in names]), st.sampled_from(["", " ", "_", "-"]))
def test_columns_go_by_their_letters(name: str, joint: str) -> None:
    """Case, spaces and underscores do not matter."""
    column = next(column for column, names in COLUMNS.items() if name in names)
    for text in (name, name.lower(), re.sub("[ _]", joint, name.upper())):
        assert match_columns(["other", text])[column] == 1


def test_preferred_names_and_doubles() -> None:
    """Of two names of one column the first in our list counts; the same name twice is a double."""
    assert match_columns(["Subject", "PATNO"])["PATNO"] == 1
    assert match_columns(["PATNO", "nsd_new_staging_2"])["NSD"] == 1
    assert find_doubled(["a", "NHY", "a", "", "", "nhy "]) == ["NHY", "nhy"]


def test_delimiters() -> None:
    """Delimiters are counted outside quotes; a header of one column has none."""
    assert find_delimiter('"a,b,c";d;e') == ";"
    assert find_delimiter("a\tb") == "\t"
    assert find_delimiter("a") == ","
