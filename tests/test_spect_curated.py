"""The curated data cut, as workbook and as text, and workbooks at large."""

from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest

from dlmi_bench import extras
from dlmi_tasks.spect.tables.load import load_tables
from dlmi_tasks.spect.tables.records import StageRow, Tables
from dlmi_tasks.spect.tables.releases import find_named_day
from study_tables import REGIONS, STAGES, list_reasons, write, write_book

CURATED = ["PATNO", "EVENT_ID", "visit_date", "COHORT", "subgroup", "SITE", "SEX", "age", "NHY", "NHY_ON", "NSD_STAGE"]
CURATED += [f"MIA_{name}" for name in REGIONS]
CURATED_ROW: list[Any] = [80001, "BL", datetime(2016, 3, 1), 1, "Sporadic", 12, 0, 61.5, 2, 1.0, "2B", 1, 2, 3, 4]


def check_curated(tables: Tables) -> None:
    middle = date(2016, 3, 15)
    assert tables.stages == [
        StageRow("80001", "BL", middle, 2.0, 0, "column NHY"),
        StageRow("80001", "BL", middle, 1.0, 1, "column NHY_ON"),
    ]
    assert (tables.groups, tables.sites, tables.sexes) == ({"80001": "PD"}, {"80001": "12"}, {"80001": "F"})
    assert tables.nsd == {("80001", "BL"): "2B"}
    assert tables.ages == {("80001", "BL"): 61.5}
    assert tables.ratios == {"MIA, curated data cut": {("80001", "BL"): (1.0, 2.0, 3.0, 4.0)}}
    assert tables.problems == []


def test_curated_workbook(tmp_path: Path) -> None:
    """The first sheet with known columns wins, whatever it is called, and serves as stages, groups and more."""
    name = "PPMI_Curated_Data_Cut_Public_20250321.xlsx"
    path = write_book(tmp_path, name, ReadMe=[["Read", "this"]], **{"20241211": [CURATED, CURATED_ROW]})
    tables = load_tables(tmp_path)
    check_curated(tables)
    assert tables.files[0].role == "curated"
    assert tables.files[0].is_used
    assert find_named_day(path.stem) == date(2025, 3, 21)


def test_curated_as_text(tmp_path: Path) -> None:
    """Saved as text, as a spreadsheet would, it says the same."""
    texts = ["03/2016" if isinstance(value, datetime) else str(value) for value in CURATED_ROW]
    write(tmp_path, "cut.csv", ";".join(CURATED), ";".join(texts))
    check_curated(load_tables(tmp_path))


def test_curated_only_fills_gaps(tmp_path: Path) -> None:
    """Beside the table of examinations the data cut adds visits that this lacks, and differences are counted."""
    head = "PATNO,EVENT_ID,COHORT,NHY"
    write(tmp_path, "Curated_05Jan2026.csv", head, "80001,BL,1,3", "80001,V04,1,2", "80001,V06,1,4")
    write(tmp_path, "MDS-UPDRS_Part_III_05Jan2025.csv", STAGES, "80001,BL,03/2016,2", "80001,V06,03/2018,4")
    tables = load_tables(tmp_path)
    assert [(row.event, row.stage) for row in tables.stages] == [("BL", 2), ("V06", 4), ("V04", 2)]
    assert "field NHY differs from the table of examinations in 1 rows" in list_reasons(tables)


def test_curated_comes_after_the_tables_it_is_made_from(tmp_path: Path) -> None:
    """Though it is newer: the sex of the table of people counts."""
    write(tmp_path, "Curated_05Jan2026.csv", "PATNO,EVENT_ID,COHORT,NHY,SEX", "80001,BL,1,3,0", "80002,BL,1,3,0")
    write(tmp_path, "Demographics_05Jan2025.csv", "PATNO,SEX", "80001,1")
    assert load_tables(tmp_path).sexes == {"80001": "M", "80002": "F"}


def test_serial_numbers_of_workbooks(tmp_path: Path) -> None:
    """A cell with the serial number of a day is that day in a workbook, and no date in a text."""
    row: list[Any] = [80001, "BL", 42430, 2]  # 42430 days after 1899-12-30
    write_book(tmp_path, "a.xlsx", stages=[STAGES.split(","), row])
    assert [r.day for r in load_tables(tmp_path).stages] == [date(2016, 3, 15)]
    (tmp_path / "a.xlsx").unlink()
    write(tmp_path, "a.csv", STAGES, ",".join(map(str, row)))
    assert [r.day for r in load_tables(tmp_path).stages] == [None]


def test_workbook_without_its_extra_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without openpyxl the workbook is listed with the extra that reads it; other tables are read."""
    write_book(tmp_path, "a.xlsx", stages=[STAGES.split(","), [80001, "BL", "03/2016", 2]])
    write(tmp_path, "b.csv", STAGES, "80002,BL,03/2016,2")
    monkeypatch.setattr(extras, "is_installed", lambda module: module != "openpyxl")
    tables = load_tables(tmp_path)
    assert [row.subject for row in tables.stages] == ["80002"]
    assert tables.files[0].role == "unreadable"
    assert "install dlmi-bench[xlsx]" in tables.files[0].why


def test_workbook_that_is_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the zip says it holds is checked before it is opened, and rows while they are read."""
    rows: list[list[Any]] = [STAGES.split(","), *([80001, "BL", "03/2016", 2] for _ in range(9))]
    write_book(tmp_path, "a.xlsx", stages=rows)
    monkeypatch.setattr("dlmi_tasks.spect.tables.workbook.MAX_ROWS", 9)
    assert "longer than 9 rows" in list_reasons(load_tables(tmp_path))
    monkeypatch.setattr("dlmi_tasks.spect.tables.workbook.MAX_UNPACKED_BYTES", 1000)
    assert "holds more than" in list_reasons(load_tables(tmp_path))
