"""Tables with stages as people have them: examinations, releases, dates and text of any kind."""

import os
from datetime import date
from pathlib import Path

import pytest

from dlmi_tasks.spect.tables.load import load_tables
from dlmi_tasks.spect.tables.reading import MAX_LINES
from dlmi_tasks.spect.tables.records import StageRow
from study_tables import STAGES, list_reasons, write

YESTERDAY = 86_400  # seconds


def test_stages_of_part_three(tmp_path: Path) -> None:
    """101, UR and blanks are missing, decimals may have a comma, and other columns do no harm."""
    rows = ["80001;V12;03/2016;2,0", "80001;BL;03/2011;101", "80002;BL;03/2011;UR", "80002;V04;03/2012;1.5"]
    write(tmp_path, "x.csv", STAGES.replace(",", ";") + ";ORIG_ENTRY", *(f"{row};05/2012" for row in rows))
    tables = load_tables(tmp_path)
    assert [(row.subject, row.event, row.stage) for row in tables.stages] == [
        ("80001", "V12", 2.0),
        ("80002", "V04", 1.5),
    ]
    assert tables.n_missing_stages == 2
    assert tables.problems == []


@pytest.mark.parametrize(
    ("page", "state", "treated", "rank", "rule"),
    [
        ("NUPDRS3", "ON", "0", 1, "PDSTATE ON"),
        ("NUPDR3ON", "OFF", "1", 0, "PDSTATE OFF"),
        ("NUPDR3ON", "", "0", 0, "PDTRTMNT 0"),
        ("NUPDR3ON", "", "", 1, "PAG_NAME NUPDR3ON"),
        ("NUPDR3OF", "", "1", 0, "PAG_NAME NUPDR3OF"),
        ("NUPDRS3", "", "1.0", 1, "PDTRTMNT 1"),
        ("NUPDRS3A", "", "1", 1, "PDTRTMNT 1"),
        ("NUPDRS3", "", "", 0, "no sign of treatment"),
    ],
)
def test_medication(tmp_path: Path, page: str, state: str, treated: str, rank: int, rule: str) -> None:
    """PDSTATE decides, then no treatment, then the page, then treatment; the row says which."""
    head = "PATNO,EVENT_ID,PAG_NAME,INFODT,PDTRTMNT,PDSTATE,NHY"
    write(tmp_path, "x.csv", head, f"80001,BL,{page},03/2016,{treated},{state},2")
    assert load_tables(tmp_path).stages == [StageRow("80001", "BL", date(2016, 3, 15), 2.0, rank, rule)]


def test_determination_of_on_and_off_is_passed_over(tmp_path: Path) -> None:
    """The table with the same name and no NHY is listed, and ends nothing."""
    name = "MDS-UPDRS_Part_III_ON_OFF_Determination___Dosing_05Jan2026.csv"
    write(tmp_path, name, "PATNO,EVENT_ID,PAG_NAME,INFODT,PDTRTMNT,PDSTATE,DBSYN", "80001,V04,X,03/2016,1,ON,0")
    write(tmp_path, "MDS-UPDRS_Part_III_05Jan2026.csv", STAGES, "80001,V04,03/2016,2")
    tables = load_tables(tmp_path)
    assert len(tables.stages) == 1
    assert [(file.role, file.is_used) for file in tables.files] == [("stages", True), ("unknown", False)]
    assert "column NHY is missing for a table of stages" in list_reasons(tables)


def test_newer_release_counts(tmp_path: Path) -> None:
    """Of two releases under one name the newer counts, wherever they lie; the older is listed as such."""
    write(tmp_path, "Motor/MDS-UPDRS_Part_III_05Jan2026.csv", STAGES, "80001,BL,03/2016,2")
    write(tmp_path, "MDS_UPDRS_Part_III_04Mar2025.csv", STAGES, "80001,BL,03/2016,1", "80002,BL,03/2016,1")
    tables = load_tables(tmp_path)
    assert [row.stage for row in tables.stages] == [2]
    older = next(file for file in tables.files if not file.is_used)
    assert older.why == "older release than MDS-UPDRS_Part_III_05Jan2026.csv"


def test_last_update_and_file_time_tell_releases_too(tmp_path: Path) -> None:
    """Without a date in the name the last update counts, and without one the time of the file."""
    rows = ("80001,BL,03/2016,2,2020-01-01 10:00:00.0", "80009,BL,03/2016,2,2021-06-01 10:00:00.0")
    write(tmp_path, "a/x.csv", f"{STAGES},LAST_UPDATE", *rows)
    write(tmp_path, "b/x.csv", f"{STAGES},LAST_UPDATE", "80001,BL,03/2016,3,2021-01-01 10:00:00.0")
    assert [row.stage for row in load_tables(tmp_path).stages] == [2, 2]
    for folder, shift in (("a", 0), ("b", 2 * YESTERDAY)):
        path = write(tmp_path, f"{folder}/x.csv", STAGES, f"80001,BL,03/2016,{len(folder) + (folder == 'a')}")
        os.utime(path, (1_700_000_000 - shift,) * 2)
    assert [row.stage for row in load_tables(tmp_path).stages] == [2]


def test_older_table_of_another_name_only_adds(tmp_path: Path) -> None:
    """What both hold is taken from the newer; an examination that only the older has is kept."""
    write(tmp_path, "one_05Jan2026.csv", STAGES, "80001,BL,03/2016,2")
    write(tmp_path, "two_05Jan2025.csv", STAGES, "80001,BL,03/2016,3", "80002,BL,03/2016,1")
    assert sorted((row.subject, row.stage) for row in load_tables(tmp_path).stages) == [("80001", 2), ("80002", 1)]


def test_tables_of_one_day_are_both_read(tmp_path: Path) -> None:
    """A table with other subjects, or another page, adds to the first; a copy adds nothing; a conflict is kept."""
    head = "PATNO,EVENT_ID,PAG_NAME,INFODT,NHY"
    write(tmp_path, "one_05Jan2026.csv", head, "80001,BL,NUPDRS3,03/2016,2", "80003,BL,NUPDRS3,03/2016,2")
    write(tmp_path, "copy_05Jan2026.csv", head, "80001,BL,NUPDRS3,03/2016,2")
    write(tmp_path, "dose_05Jan2026.csv", head, "80002,BL,NUPDRS3,03/2016,1", "80003,BL,NUPDRS3,03/2016,3")
    stages = sorted((row.subject, row.stage) for row in load_tables(tmp_path).stages)
    assert stages == [("80001", 2), ("80002", 1), ("80003", 2), ("80003", 3)]


def test_encodings(tmp_path: Path) -> None:
    """UTF-8 with a mark, UTF-16 and Windows-1252 are read; the last, which may be another, is named."""
    for encoding, n_problems in (("utf-8-sig", 0), ("utf-16", 0), ("cp1252", 1)):
        write(tmp_path, "a.csv", f"{STAGES},NOTE", "80001,BL,03/2016,2,zurück", encoding=encoding)
        tables = load_tables(tmp_path)
        assert [row.stage for row in tables.stages] == [2], encoding
        assert len(tables.problems) == n_problems, encoding


def test_blank_lines_and_an_empty_file(tmp_path: Path) -> None:
    """Blank lines and lines of nothing but delimiters are no rows; numbers of lines stay right."""
    write(tmp_path, "a.csv", "", STAGES, "", ",,,", "80001,BL,03/2016,9")
    write(tmp_path, "b.csv")
    tables = load_tables(tmp_path)
    assert [(problem.where, problem.reason[:12]) for problem in tables.problems] == [
        (f"{tmp_path / 'a.csv'}, line 5", "field NHY is")
    ]


def test_dates_go_by_the_whole_column(tmp_path: Path) -> None:
    """Days first where a value needs it; nothing where none decides, save in the archive's tables; both is refused."""

    def read(*texts: str) -> tuple[list[date | None], str]:
        write(tmp_path, "a.csv", STAGES, *(f"80001,BL,{text},2" for text in texts))
        tables = load_tables(tmp_path)
        return [row.day for row in tables.stages], list_reasons(tables)

    assert read("5/3/2016", "25/3/2016")[0] == [date(2016, 3, 5), date(2016, 3, 25)]
    assert read("5/3/2016", "5/25/2016")[0] == [date(2016, 5, 3), date(2016, 5, 25)]
    days, reasons = read("5/3/2016", "4/6/2016")
    assert days == [None, None]
    assert "no value decides whether day or month comes first" in reasons
    days, reasons = read("25/3/2016", "5/25/2016")
    assert days == [None, None]
    assert "a.csv, line 3: column INFODT holds values that need the day first" in reasons


def test_months_that_a_spreadsheet_made_days(tmp_path: Path) -> None:
    """The first of each month, in any order of day and month, is the month that the study gave."""
    middles = [date(2016, 3, 15), date(2016, 5, 15)]
    for texts in (
        ("1/3/2016", "1/5/2016"),
        ("3/1/2016", "5/1/2016"),
        ("Mar-16", "May-16"),
        ("01.03.2016", "01.05.2016"),
    ):
        write(tmp_path, "a.csv", STAGES, *(f"80001,BL,{text},2" for text in texts))
        assert [row.day for row in load_tables(tmp_path).stages] == middles, texts


def test_visits_that_are_not_known_are_listed(tmp_path: Path) -> None:
    write(tmp_path, "a.csv", STAGES, "80001,X99,03/2016,2", "80002,X99,03/2016,2", "80003,v04,03/2016,2")
    tables = load_tables(tmp_path)
    assert [row.event for row in tables.stages] == ["X99", "X99", "V04"]
    (problem,) = tables.problems
    assert problem.reason == "field EVENT_ID is 'X99', a visit that is not known"


@pytest.mark.slow
def test_long_tables_are_read_whole(tmp_path: Path) -> None:
    """A table of 100 000 rows is within the limits, and none of them is lost."""
    n_rows = 100_000
    assert n_rows < MAX_LINES
    rows = (f"{80000 + i // 10},V{i % 10 + 1:02},{i % 12 + 1:02}/2016,{i % 6}" for i in range(n_rows))
    write(tmp_path, "a.csv", STAGES, *rows)
    tables = load_tables(tmp_path)
    assert len(tables.stages) == n_rows
    assert tables.stages[-1] == StageRow("89999", "V10", date(2016, 4, 15), 3.0, 0, "no sign of treatment")
