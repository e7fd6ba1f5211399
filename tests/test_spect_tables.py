"""The study's tables: told apart by columns, read with all their quirks, joined with images by rule."""

import re
from datetime import date
from pathlib import Path

import pytest

from dlmi_tasks.spect.ppmi.identity import IMAGE_NAME, MOMENT, SUBJECT
from dlmi_tasks.spect.tables.dates import parse_day
from dlmi_tasks.spect.tables.load import load_tables
from dlmi_tasks.spect.tables.records import StageRow

HEAD = "PATNO,EVENT_ID,PAG_NAME,INFODT,PDSTATE,NHY\n"


def write_stages(folder: Path, *rows: str, name: str = "MDS_UPDRS_Part_III.csv", head: str = HEAD) -> Path:
    (folder / name).write_text(head + "".join(f"{row}\n" for row in rows))
    return folder


@pytest.mark.parametrize(
    "name",
    ["MDS_UPDRS_Part_III.csv", "MDS-UPDRS_Part_III_05Jan2026.csv", "MDS_UPDRS_Part_III__Post_Dose_.csv", "export.csv"],
)
def test_stage_table_goes_by_many_names(tmp_path: Path, name: str) -> None:
    """The table is found by its columns whatever its name is."""
    (row,) = load_tables(write_stages(tmp_path, "3000,BL,NUPDRS3,03/2012,,2", name=name)).stages
    assert row == StageRow("3000", "BL", date(2012, 3, 15), 2.0, 0, "no sign of treatment")


def test_byte_order_mark_quotes_and_blanks(tmp_path: Path) -> None:
    """What spreadsheet programs add does no harm."""
    text = '\ufeff"PATNO","EVENT_ID","INFODT","NHY"\n" 3000 ","BL","03/2012"," 2.0 "\n'
    (tmp_path / "a.csv").write_text(text, encoding="utf-8")
    (row,) = load_tables(tmp_path).stages
    assert (row.subject, row.stage) == ("3000", 2.0)


def test_missing_stages_are_counted_and_bad_ones_listed(tmp_path: Path) -> None:
    """101, UR and nothing are missing; 7 and text are errors with file, line and field."""
    values = ["101", "", "UR", "101.0", "7", "two", "1"]
    tables = load_tables(write_stages(tmp_path, *(f"3000,BL,NUPDRS3,03/2012,,{v}" for v in values)))
    assert tables.n_missing_stages == 4
    assert [row.stage for row in tables.stages] == [1.0]
    assert [p.where.rpartition(", ")[2] for p in tables.problems] == ["line 6", "line 7"]
    assert "field NHY is '7'" in tables.problems[0].reason


def test_disputed_image_id(tmp_path: Path) -> None:
    """An image id with two different rows is used by neither; the same row twice is no dispute."""
    write_stages(tmp_path, "3000,BL,NUPDRS3,03/2012,,2")
    head = "Image Data ID,Subject,Group,Visit,Acq Date\n"
    rows = "I1,3000,PD,Screening,3/1/2012\nI1,3001,PD,Screening,3/1/2012\nI2,3000,PD,Month 12,3/1/2013\n"
    (tmp_path / "c.csv").write_text(head + rows + "I2,3000,PD,Month 12,3/1/2013\n")
    tables = load_tables(tmp_path)
    assert list(tables.images) == ["2"]
    assert "image id 1 has another row" in tables.problems[0].reason


def test_other_tables_are_ignored_and_close_ones_listed(tmp_path: Path) -> None:
    """A table of something else is no matter; one that resembles a table of stages is named with what it lacks."""
    write_stages(tmp_path, "3000,BL,NUPDRS3,03/2012,,2")
    (tmp_path / "Other.csv").write_text("PATNO,LEVEL\n3000,1\n")
    assert load_tables(tmp_path).problems == []
    (tmp_path / "MDS_UPDRS_Part_III_old.csv").write_text("PATNO,EVENT_ID,PDSTATE\n3000,BL,ON\n")
    tables = load_tables(tmp_path)
    assert [row.stage for row in tables.stages] == [2]
    assert "column NHY is missing" in tables.problems[0].reason


def test_table_that_is_no_text(tmp_path: Path) -> None:
    """Binary content is listed with the file's name, and the other tables stay."""
    write_stages(tmp_path, "3000,BL,NUPDRS3,03/2012,,2", name="export.csv")
    (tmp_path / "x.csv").write_bytes(b"PATNO,EVENT_ID,NHY\n\xff\xfe\x00\x01\n")
    tables = load_tables(tmp_path)
    (problem,) = tables.problems
    assert "x.csv: cannot be read as a table" in problem.reason
    assert [(file.path.name, file.is_used) for file in tables.files] == [("export.csv", True), ("x.csv", False)]
    assert len(tables.stages) == 1


@pytest.mark.parametrize(
    ("head", "row"),
    [
        ("PATNO,EVENT_ID,INFODT,NHY,NHY\n", "3000,BL,03/2012,2,4"),
        ("PATNO,EVENT_ID,INFODT,NHY, NHY \n", "3000,BL,03/2012,2,4"),
        ("PATNO,EVENT_ID,INFODT,NHY,AGE,AGE\n", "3000,BL,03/2012,2,60,70"),
    ],
)
def test_doubled_columns_are_refused(tmp_path: Path, head: str, row: str) -> None:
    """Of two columns with one name neither is taken; columns without a name are no doubles."""
    write_stages(tmp_path, row, head=head)
    tables = load_tables(tmp_path)
    assert tables.stages == []
    assert re.search("column (NHY|AGE) is there more than once", tables.problems[0].reason)
    write_stages(tmp_path, "3000,BL,03/2012,2,,", head="PATNO,EVENT_ID,INFODT,NHY,,\n")
    assert [row.stage for row in load_tables(tmp_path).stages] == [2]


def test_doubled_columns_of_images_are_refused(tmp_path: Path) -> None:
    """So are those of the table of images, whose name does not matter."""
    write_stages(tmp_path, "3000,BL,NUPDRS3,03/2012,,2")
    (tmp_path / "c.csv").write_text("Image Data ID,Subject,Subject,Group,Visit,Acq Date\nI1,3000,3001,PD,BL,3/1/2012\n")
    tables = load_tables(tmp_path)
    assert tables.images == {}
    (account,) = (file for file in tables.files if file.path.name == "c.csv")
    assert account.why == "column Subject is there more than once"


@pytest.mark.parametrize("stage", ["0_3", "\uff13", "\u0663", "+3e", "1e0_0", "nan", "0x2"])
def test_only_plain_numbers_are_stages(tmp_path: Path, stage: str) -> None:
    """What Python also takes for a number is listed with its line, and no label."""
    tables = load_tables(write_stages(tmp_path, f"3000,BL,NUPDRS3,03/2012,,{stage}", "3000,V04,NUPDRS3,03/2013,,3"))
    assert [row.stage for row in tables.stages] == [3]
    (problem,) = tables.problems
    assert problem.where.endswith("line 2")
    assert "field NHY is" in problem.reason


def test_digits_of_other_scripts_are_no_date_and_no_path() -> None:
    """They pass for digits in Python, and name another subject, image or day."""
    assert parse_day("\uff13/1/2012") is None
    assert not SUBJECT.fullmatch("300\uff10")
    assert not MOMENT.fullmatch("2012-03-0\uff11")
    assert not IMAGE_NAME.search("x_I1\uff10.dcm")


def test_row_with_too_many_fields_is_left_out(tmp_path: Path) -> None:
    """A comma that is not quoted moves all that follows, and so the label: the line is listed and not used."""
    rows = ["3000,BL,NUPDRS3,03/2012,,2", "3001,BL,a,b,03/2012,,4", "3002,BL,NUPDRS3,03/2012,,1,,"]
    tables = load_tables(write_stages(tmp_path, *rows))
    assert [(row.subject, row.stage) for row in tables.stages] == [("3000", 2), ("3002", 1)]
    (problem,) = tables.problems
    assert problem.where.endswith("line 3")
    assert "7 fields under 6 columns" in problem.reason


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("3000,BL,NUPDRS3,03/2012,,2\0\n", "line 2 holds a NUL byte"),
        (f"3000,BL,NUPDRS3,03/2012,,{'2' * 140_000}\n", "field larger than field limit"),
        (f"3000,BL,NUPDRS3,03/2012,,2{',' * 2_000_000}\n", "line 2 is longer than 1048576"),
        ('"3000,BL,NUPDRS3,03/2012,,2\n', "unexpected end of data"),
        ("\n" * 500_000, "longer than 500000 lines"),
    ],
)
def test_table_that_is_none_is_refused(tmp_path: Path, rows: str, message: str) -> None:
    """NUL bytes, a field or line without end, an open quote and lines without number are listed with the file."""
    (tmp_path / "MDS_UPDRS_Part_III.csv").write_text(HEAD + rows)
    (problem,) = load_tables(tmp_path).problems
    assert re.search(rf"Part_III\.csv: cannot be read as a table: .*{message}", problem.reason)


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("3/1/2012", date(2012, 3, 1)),
        ("2012-03-01", date(2012, 3, 1)),
        ("03/2012", date(2012, 3, 15)),
        ("", None),
        ("soon", None),
    ],
)
def test_dates(text: str, day: date | None) -> None:
    """American and ISO days are read; a month is its middle; anything else is no date."""
    assert parse_day(text) == day
