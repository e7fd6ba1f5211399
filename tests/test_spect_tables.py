"""The study's tables: told apart by columns, read with all their quirks, joined with images by rule."""

from datetime import date
from pathlib import Path

import pytest

from dlmi_bench.errors import DataError
from dlmi_tasks.spect.ppmi.files import IMAGE_NAME, MOMENT, SUBJECT, ImageFile
from dlmi_tasks.spect.ppmi.matching import GROUPINGS, Match, choose_row, find_label, match_images
from dlmi_tasks.spect.ppmi.tables import ImageRow, StageRow, Tables, load_tables, parse_day

HEAD = "PATNO,EVENT_ID,PAG_NAME,INFODT,PDSTATE,NHY\n"


def write_stages(folder: Path, *rows: str, name: str = "MDS_UPDRS_Part_III.csv", head: str = HEAD) -> Path:
    (folder / name).write_text(head + "".join(f"{row}\n" for row in rows))
    return folder


def make_image(subject: str = "3000", image_id: str = "1", day: date = date(2012, 3, 1)) -> ImageFile:
    return ImageFile(Path(f"I{image_id}.dcm"), subject, image_id, day)


def make_stage(event: str, stage: float, *, rank: int = 0, day: date | None = date(2012, 3, 15)) -> StageRow:
    return StageRow("3000", event, day, stage, rank)


def match_one(stages: list[StageRow], row: ImageRow | None = None, image: ImageFile | None = None) -> Match | str:
    """The match of one image, or the reason why there is none."""
    tables = Tables({row.image_id: row} if row else {}, stages, 0, [])
    found = match_images([image or make_image()], tables)
    return found.matches[0] if found.matches else found.unmatched[0].reason


def make_row(
    visit: str = "Screening", *, group: str = "PD", subject: str = "3000", day: date | None = None
) -> ImageRow:
    return ImageRow("1", subject, group, visit, day)


@pytest.mark.parametrize(
    "name",
    ["MDS_UPDRS_Part_III.csv", "MDS-UPDRS_Part_III_05Jan2026.csv", "MDS_UPDRS_Part_III__Post_Dose_.csv", "export.csv"],
)
def test_stage_table_goes_by_many_names(tmp_path: Path, name: str) -> None:
    """The table is found by its columns whatever its name is."""
    (row,) = load_tables(write_stages(tmp_path, "3000,BL,NUPDRS3,03/2012,,2", name=name)).stages
    assert row == StageRow("3000", "BL", date(2012, 3, 15), 2.0, 0)


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


def test_on_and_off(tmp_path: Path) -> None:
    """PDSTATE decides; without it an examination after the dose counts as on."""
    rows = [
        "1,V04,NUPDRS3A,03/2012,ON,1",
        "1,V04,NUPDRS3,03/2012,OFF,2",
        "1,V06,NUPDRS3A,03/2013,,1",
        "1,BL,NUPDRS3,,,1",
    ]
    assert [row.rank for row in load_tables(write_stages(tmp_path, *rows)).stages] == [1, 0, 1, 0]


def test_disputed_image_id(tmp_path: Path) -> None:
    """An image id with two different rows is used by neither; the same row twice is no dispute."""
    write_stages(tmp_path, "3000,BL,NUPDRS3,03/2012,,2")
    head = "Image Data ID,Subject,Group,Visit,Acq Date\n"
    rows = "I1,3000,PD,Screening,3/1/2012\nI1,3001,PD,Screening,3/1/2012\nI2,3000,PD,Month 12,3/1/2013\n"
    (tmp_path / "c.csv").write_text(head + rows + "I2,3000,PD,Month 12,3/1/2013\n")
    tables = load_tables(tmp_path)
    assert list(tables.images) == ["2"]
    assert "image id 1 has another row" in tables.problems[0].reason


def test_other_tables_are_ignored_and_named_ones_checked(tmp_path: Path) -> None:
    """A table of something else is no matter; one that bears the stage table's name must hold stages."""
    write_stages(tmp_path, "3000,BL,NUPDRS3,03/2012,,2")
    (tmp_path / "Demographics.csv").write_text("PATNO,SEX\n3000,1\n")
    assert len(load_tables(tmp_path).stages) == 1
    (tmp_path / "MDS_UPDRS_Part_III_old.csv").write_text("PATNO,EVENT_ID,INFODT\n3000,BL,03/2012\n")
    with pytest.raises(DataError, match=r"Part_III_old\.csv: column NHY is missing"):
        load_tables(tmp_path)


def test_table_that_is_no_text(tmp_path: Path) -> None:
    """Binary content is listed with the file's name; under the stage table's name it is an error."""
    write_stages(tmp_path, "3000,BL,NUPDRS3,03/2012,,2", name="export.csv")
    (tmp_path / "x.csv").write_bytes(b"PATNO,NHY\n\xff\xfe\x00\x01\n")
    (problem,) = load_tables(tmp_path).problems
    assert "x.csv: cannot be read as a table" in problem.reason
    (tmp_path / "x.csv").rename(tmp_path / "MDS_UPDRS_Part_III.csv")
    with pytest.raises(DataError, match=r"Part_III\.csv: cannot be read as a table"):
        load_tables(tmp_path)


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
    with pytest.raises(DataError, match=r"Part_III\.csv: column (NHY|AGE) is there more than once"):
        load_tables(tmp_path)
    write_stages(tmp_path, "3000,BL,03/2012,2,,", head="PATNO,EVENT_ID,INFODT,NHY,,\n")
    assert [row.stage for row in load_tables(tmp_path).stages] == [2]


def test_doubled_columns_of_images_are_refused(tmp_path: Path) -> None:
    """So are those of the table of images, whose name does not matter."""
    write_stages(tmp_path, "3000,BL,NUPDRS3,03/2012,,2")
    (tmp_path / "c.csv").write_text("Image Data ID,Subject,Subject,Group,Visit,Acq Date\nI1,3000,3001,PD,BL,3/1/2012\n")
    with pytest.raises(DataError, match=r"c\.csv: column Subject is there more than once"):
        load_tables(tmp_path)


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
    """NUL bytes, a field or line without end, an open quote and lines without number are an error with the file."""
    (tmp_path / "MDS_UPDRS_Part_III.csv").write_text(HEAD + rows)
    with pytest.raises(DataError, match=rf"Part_III\.csv: cannot be read as a table: .*{message}"):
        load_tables(tmp_path)


def test_other_table_with_stages_is_passed_over(tmp_path: Path) -> None:
    """A curated table that has NHY but no INFODT is no error beside the real one: it is listed and not used."""
    write_stages(tmp_path, "3000,BL,NUPDRS3,03/2012,,2")
    (tmp_path / "Curated_Data_Cut.csv").write_text("PATNO,EVENT_ID,NHY\n3000,BL,4\n")
    tables = load_tables(tmp_path)
    assert [row.stage for row in tables.stages] == [2]
    assert "Curated_Data_Cut.csv: column INFODT is missing" in tables.problems[0].reason


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


def test_visit_beats_a_nearer_date() -> None:
    """The stage of the image's own visit is taken though another was noted closer to its date."""
    stages = [make_stage("V04", 1, day=date(2013, 3, 15)), make_stage("V06", 3, day=date(2012, 3, 2))]
    match = match_one(stages, make_row("Month 12"))
    assert isinstance(match, Match)
    assert (match.stage, match.label, match.method) == (1, 0, "visit")


def test_screening_scan_takes_the_baseline_stage() -> None:
    """A stage at screening comes first, then baseline."""
    baseline, screening = make_stage("BL", 2), make_stage("SC", 1)
    match = match_one([baseline], make_row())
    assert isinstance(match, Match)
    assert (match.stage, match.method) == (2, "baseline for screening")
    match = match_one([baseline, screening], make_row())
    assert isinstance(match, Match)
    assert (match.stage, match.method) == (1, "visit")


def test_off_before_on_then_the_highest() -> None:
    """Off or untreated rows beat a higher stage on; among equals the highest counts, and the report notes it."""
    assert choose_row([make_stage("BL", 3, rank=1), make_stage("BL", 1), make_stage("BL", 2)]).stage == 2
    tables = Tables({"1": make_row()}, [make_stage("BL", 1), make_stage("BL", 2)], 0, [])
    (note,) = match_images([make_image()], tables).notes
    assert note.where == "PATNO 3000, EVENT_ID BL"
    assert "NHY is 1 and 2" in note.reason


@pytest.mark.parametrize(("days", "is_matched"), [(180, True), (181, False)])
def test_nearest_date_reaches_180_days(days: int, is_matched: bool) -> None:
    """A stage 180 days away is taken, one 181 days away is not, and the reason gives the distance."""
    day = date.fromordinal(date(2012, 3, 1).toordinal() + days)
    match = match_one([make_stage("V08", 2, day=day)], make_row("Month 12"))
    if is_matched:
        assert isinstance(match, Match)
        assert (match.method, match.days_apart) == ("nearest date", 180)
    else:
        assert match == "the nearest stage (field NHY) of subject 3000 is 181 days away, limit 180"


def test_table_date_beats_the_path() -> None:
    """The acquisition date of the image table counts where there is one."""
    stage = make_stage("U01", 2, day=date(2015, 1, 1))
    assert isinstance(match_one([stage], make_row("Month 36", day=date(2015, 1, 5))), Match)
    assert isinstance(match_one([stage], make_row("Month 12", day=date(2012, 1, 5))), str)


@pytest.mark.parametrize(
    ("stages", "row", "reason"),
    [
        ([], make_row(), "no row with a stage (field NHY) for subject 3000"),
        ([make_stage("V08", 2, day=None)], make_row(), "none with a date (field INFODT)"),
        ([make_stage("SC", 0)], make_row(), "stage (field NHY) 0 is in no class of the grouping 'stage'"),
        ([make_stage("SC", 2.5)], make_row(), "stage (field NHY) 2.5 is in no class"),
        ([make_stage("SC", 2)], make_row(group="Control"), "field Group is Control"),
        ([make_stage("SC", 2)], make_row(subject="3999"), "field Subject is 3999 in the image table, 3000 in the path"),
    ],
)
def test_every_unmatched_image_has_its_reason(stages: list[StageRow], row: ImageRow, reason: str) -> None:
    """Nothing is guessed: the image is listed with what is missing."""
    found = match_one(stages, row)
    assert isinstance(found, str)
    assert reason in found


def test_groupings() -> None:
    """Stages 1, 2 and 3-5 are classes 0, 1 and 2; the phases take the half stages too."""
    assert [find_label(s, "stage") for s in (1, 2, 3, 4, 5)] == [0, 1, 2, 2, 2]
    assert [find_label(s, "phase") for s in (1, 1.5, 2, 2.5, 3)] == [0, 0, 1, 1, 2]
    assert find_label(1.5, "stage") is None
    assert list(GROUPINGS["phase"]) == ["early", "middle", "late"]
