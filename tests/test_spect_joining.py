"""Images joined with what tables say of them, and the classes that are asked about."""

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from dlmi_bench.errors import UsageError
from dlmi_tasks.spect.ppmi.grouping import GROUPINGS, Case, load_grouping
from dlmi_tasks.spect.ppmi.identity import ImageFile
from dlmi_tasks.spect.ppmi.joining import Scan, choose_row, join
from dlmi_tasks.spect.tables.records import ImageRow, StageRow, Tables


def make_image(subject: str = "3000", image_id: str = "1", day: date = date(2012, 3, 1)) -> ImageFile:
    return ImageFile(Path(f"I{image_id}.dcm"), subject, image_id, day)


def make_stage(event: str, stage: float, *, rank: int = 0, day: date | None = date(2012, 3, 15)) -> StageRow:
    return StageRow("3000", event, day, stage, rank)


def join_one(stages: list[StageRow], row: ImageRow | None = None, image: ImageFile | None = None, **asked: Any) -> Scan:
    """One image with what is known of it."""
    tables = Tables({row.image_id: row} if row else {}, stages)
    grouping = GROUPINGS[asked.pop("grouping", "stage")]
    (scan,) = join([image or make_image()], tables, grouping, **asked).scans
    return scan


def make_row(
    visit: str = "Screening", *, group: str = "PD", subject: str = "3000", day: date | None = None
) -> ImageRow:
    return ImageRow("1", subject, group, visit, day)


def test_visit_beats_a_nearer_date() -> None:
    """The stage of the image's own visit is taken though another was noted closer to its date."""
    stages = [make_stage("V04", 1, day=date(2013, 3, 15)), make_stage("V06", 3, day=date(2012, 3, 2))]
    scan = join_one(stages, make_row("Month 12"))
    assert (scan.case.stage, scan.label, scan.method) == (1, 0, "visit")


def test_screening_scan_takes_the_baseline_stage() -> None:
    """A stage at screening comes first, then baseline."""
    baseline, screening = make_stage("BL", 2), make_stage("SC", 1)
    scan = join_one([baseline], make_row())
    assert (scan.case.stage, scan.method) == (2, "baseline for screening")
    scan = join_one([baseline, screening], make_row())
    assert (scan.case.stage, scan.method) == (1, "visit")


def test_off_before_on_then_the_highest() -> None:
    """Off or untreated rows beat a higher stage on; among equals the highest counts, and the report notes it."""
    assert choose_row([make_stage("BL", 3, rank=1), make_stage("BL", 1), make_stage("BL", 2)]).stage == 2
    tables = Tables({"1": make_row()}, [make_stage("BL", 1), make_stage("BL", 2)])
    (note,) = join([make_image()], tables, GROUPINGS["stage"]).notes
    assert note.where == "PATNO 3000, EVENT_ID BL"
    assert "NHY is 1 and 2" in note.reason


@pytest.mark.parametrize(("days", "is_joined"), [(180, True), (181, False)])
def test_nearest_date_reaches_180_days(days: int, is_joined: bool) -> None:
    """A stage 180 days away is taken, one 181 days away is not, and the reason gives the distance."""
    day = date.fromordinal(date(2012, 3, 1).toordinal() + days)
    scan = join_one([make_stage("V08", 2, day=day)], make_row("Month 12"))
    if is_joined:
        assert (scan.method, scan.days_apart) == ("nearest date", 180)
    else:
        assert scan.reason == "the nearest stage (field NHY) of subject 3000 is 181 days away, limit 180"


def test_table_date_beats_the_path() -> None:
    """The acquisition date of the image table counts where there is one."""
    stage = make_stage("U01", 2, day=date(2015, 1, 1))
    assert join_one([stage], make_row("Month 36", day=date(2015, 1, 5))).label == 1
    assert join_one([stage], make_row("Month 12", day=date(2012, 1, 5))).label is None


@pytest.mark.parametrize(
    ("stages", "row", "reason"),
    [
        ([], make_row(), "no row with a stage (field NHY) for subject 3000"),
        ([make_stage("V08", 2, day=None)], make_row(), "none with a date (field INFODT)"),
        ([make_stage("SC", 0)], make_row(), "stage (field NHY) 0 is in no class of the grouping 'stage'"),
        ([make_stage("SC", 2.5)], make_row(), "stage (field NHY) 2.5 is in no class"),
        ([make_stage("SC", 2)], make_row(group="HC"), "group HC: not asked about"),
        ([make_stage("SC", 2)], make_row(group=""), "no table says whether subject 3000 is a patient"),
        ([make_stage("SC", 2)], make_row("Sometime"), "field Visit is 'Sometime', which is no visit of the study"),
        ([make_stage("SC", 2)], make_row(subject="3999"), "field Subject is 3999 in the table of images, 3000 in"),
    ],
)
def test_every_scan_that_is_out_has_its_reason(stages: list[StageRow], row: ImageRow, reason: str) -> None:
    """Nothing is guessed: the image is listed with what is missing."""
    scan = join_one(stages, row)
    assert scan.label is None
    assert reason in scan.reason


def test_nobody_is_a_patient_unless_told() -> None:
    """Without any table of groups `--assume-pd` decides."""
    stages = [make_stage("BL", 2)]
    assert join_one(stages).label is None
    assert join_one(stages, assumes_pd=True).label == 1


CASES = [
    *(("stage", Case("PD", stage), label) for stage, label in ((1, 0), (2, 1), (3, 2), (5, 2))),
    *(("phase", Case("PD", stage), label) for stage, label in ((1.5, 0), (2.5, 1), (4, 2))),
    *(("1-2+", Case("GenReg PD", stage), label) for stage, label in ((1, 0), (2, 1), (4, 1))),
    *(("hc-pd", Case(group), label) for group, label in (("HC", 0), ("PD", 1), ("GenCohort PD", 1))),
    *(("visual", Case(is_positive=answer), label) for answer, label in ((False, 0), (True, 1))),
    *(("nsd-iss", Case(nsd=stage), label) for stage, label in (("2B", 0), ("3", 1), ("4", 2), ("5", 2))),
]


@pytest.mark.parametrize(("name", "case", "label"), CASES)
def test_groupings(name: str, case: Case, label: int) -> None:
    assert GROUPINGS[name].find_label(case) == label


@pytest.mark.parametrize(
    ("name", "case", "reason"),
    [
        ("stage", Case("PD", 1.5), "is in no class"),
        ("stage", Case("SWEDD", 1), "group SWEDD: not asked about"),
        ("hc-pd", Case("Prodromal"), "group Prodromal: not asked about"),
        ("visual", Case("PD", 2), "visual reading (DATSCAN_VISINTRP) is missing"),
        ("nsd-iss", Case(nsd="1A"), "is in no class"),
    ],
)
def test_what_a_grouping_does_not_ask(name: str, case: Case, reason: str) -> None:
    found = GROUPINGS[name].find_label(case)
    assert isinstance(found, str)
    assert reason in found


def test_grouping_of_one_s_own(tmp_path: Path) -> None:
    """Stages by class in TOML; one stage in two classes, or one class alone, is refused."""
    path = tmp_path / "mine.toml"
    path.write_text("early = [1, 1.5, 2]\nlate = [3]\n")
    grouping = load_grouping(str(path))
    assert (grouping.name, grouping.classes) == ("mine", ("early", "late"))
    assert grouping.find_label(Case("PD", 1.5)) == 0
    for text in ("early = [1]\nlate = [1]\n", "early = [1]\n", "early = 1\nlate = [2]\n"):
        path.write_text(text)
        with pytest.raises(UsageError, match="stages of their own"):
            load_grouping(str(path))
    with pytest.raises(UsageError, match="grouping 'stages' does not exist"):
        load_grouping("stages")
