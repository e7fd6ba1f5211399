"""Tables of the study as people have them: images, ratios, reads and people, one small file for each form."""

from datetime import date
from pathlib import Path

import pytest

from dlmi_tasks.spect.tables.load import load_tables
from dlmi_tasks.spect.tables.records import ImageRow, ReadRow
from dlmi_tasks.spect.tables.releases import find_named_day, find_stem
from study_tables import REGIONS, STAGES, list_reasons, write

XING, ARCHIVED = "Xing Core Lab, cerebral white matter", "occipital, archived DaTScan_SBR_Analysis"

IMAGE = ImageRow("500", "80001", "PD", "Month 60", date(2016, 3, 1), "M", 61.0, "Reconstructed DaTSCAN")


@pytest.mark.parametrize(
    ("header", "row", "name"),
    [
        (
            "Image Data ID,Subject,Group,Sex,Age,Visit,Modality,Description,Type,Acq Date,Format,Downloaded",
            "I500,80001,PD,M,61,Month 60,SPECT,Reconstructed DaTSCAN,Pre-processed,3/1/2016,DCM,4/01/2025",
            "mine_4_01_2025.csv",
        ),
        (
            "image_id;SUBJECT ID;Research Group;sex;age;visit;description;Acq date",
            "500.0;80001.0;PD;M;61.0;Month 60;Reconstructed DaTSCAN;3/1/2016",
            "MINE.CSV",
        ),
        (
            "Subject ID\tResearch Group\tSex\tAge\tVisit\tStudy Date\tDescription\tImage ID",
            "80001\tPD\tM\t61\tMonth 60\t3/1/2016\tReconstructed DaTSCAN\t500",
            "idaSearch.tsv",
        ),
    ],
)
def test_images_under_every_heading(tmp_path: Path, header: str, row: str, name: str) -> None:
    """Old and new names of columns, any case, delimiter and suffix, and ids that a spreadsheet made floats are one."""
    write(tmp_path, name, header, row)
    tables = load_tables(tmp_path)
    assert tables.images == {"500": IMAGE}
    assert tables.groups == {"80001": "PD"}
    assert tables.group_sources == {"80001": tmp_path / name}
    assert tables.sexes == {"80001": "M"}
    assert tables.problems == []


def test_search_gives_the_protocol(tmp_path: Path) -> None:
    """A search export has bare ids and the imaging protocol, which may name the tracer."""
    protocol = "Slice Thickness=2.0;Manufacturer=X;Radiopharmaceutical=TRODAT;Mfg Model=Y"
    write(tmp_path, "s.csv", "Subject ID,Image ID,Visit,Imaging Protocol", f'80001,7,Baseline,"{protocol}"')
    tables = load_tables(tmp_path)
    assert tables.images["7"].protocol == protocol
    assert tables.images["7"].tracer == "TRODAT"
    assert tables.files[0].role == "search"


def test_collections_add_up_and_the_newer_row_counts(tmp_path: Path) -> None:
    """Two downloads of different days are joined; of one image the newer row counts and the older fills its blanks."""
    head = "Image ID,Subject,Group,Visit,Acq Date,Sex"
    write(tmp_path, "a_1_02_2024.csv", head, "1,80001,PD,Baseline,3/1/2016,F", "2,80002,PD,Baseline,3/1/2016,")
    write(tmp_path, "a_1_02_2025.csv", head, "1,80001,PD,Month 12,3/1/2016,")
    images = load_tables(tmp_path).images
    assert sorted(images) == ["1", "2"]
    assert images["1"].visit == "Month 12"
    write(tmp_path, "a_1_02_2025.csv", head, "1,80001,PD,Baseline,3/1/2016,")
    assert load_tables(tmp_path).images["1"].sex == "F"


def test_one_image_in_collection_and_search(tmp_path: Path) -> None:
    """Other names of the same group and visit are no dispute; another date is, and then neither row is used."""
    write(tmp_path, "c_1_02_2025.csv", "Image ID,Subject,Group,Visit,Acq Date", "1,80001,Control,Baseline,3/1/2016")
    head = "Subject ID,Research Group,Visit,Study Date,Imaging Protocol,Image ID"
    write(tmp_path, "s_1_02_2025.csv", head, "80001,HC,BL,3/1/2016,Mfg Model=Y,1")
    tables = load_tables(tmp_path)
    assert tables.images["1"].protocol == "Mfg Model=Y"
    assert tables.problems == []
    write(tmp_path, "s_1_02_2025.csv", head, "80001,HC,BL,3/2/2016,Mfg Model=Y,1")
    assert load_tables(tmp_path).images == {}


def test_ratios_by_lab(tmp_path: Path) -> None:
    """Each lab's ratios stand by themselves, in the order of our regions; a blank is no ratio."""
    columns = ",".join(f"{name}_REF_CWM" for name in reversed(REGIONS))
    head = f"PROTOCOL,PATNO,EVENT_ID,DATSCAN_LIGAND,DATSCAN_DATE,DATSCAN_ANALYZED,STRIATUM_REF_CWM,{columns}"
    rows = [
        "P,80001,SC,,03/2016,YES,1,4,3,2,1",
        "P,80002,SC,99mTc-TRODAT-1,03/2016,YES,1,4,3,2,1",
        "P,80003,SC,,,NO,,,,,",
    ]
    write(tmp_path, "Xing_Core_Lab_-_Quant_SBR_05Jan2026.csv", head, *rows)
    columns = ",".join(f"DATSCAN_{name}" for name in REGIONS)
    write(tmp_path, "DaTScan_SBR_Analysis_05Jan2026.csv", f"PATNO,EVENT_ID,{columns}", "80001,SC,5,6,7,8")
    tables = load_tables(tmp_path)
    four = (1.0, 2.0, 3.0, 4.0)
    assert tables.ratios == {
        XING: {("80001", "SC"): four, ("80002", "SC"): four},
        ARCHIVED: {("80001", "SC"): (5.0, 6.0, 7.0, 8.0)},
    }
    assert tables.tracers == {
        ("80001", "SC"): "ioflupane",
        ("80002", "SC"): "99mTc-TRODAT-1",
        ("80003", "SC"): "ioflupane",
    }
    assert tables.problems == []
    assert XING in next(file.why for file in tables.files if file.path.name.startswith("Xing"))


def test_ratios_that_lack_a_region_are_passed_over(tmp_path: Path) -> None:
    write(tmp_path, "r.csv", "PATNO,EVENT_ID,DATSCAN_CAUDATE_L", "80001,SC,5")
    tables = load_tables(tmp_path)
    assert tables.ratios == {}
    assert "is missing for a table of ratios" in list_reasons(tables)


def test_reads_and_acceptance(tmp_path: Path) -> None:
    """A visual read joins by month; a scan that was not acceptable is known by its visit."""
    head = "PROTOCOL,PATNO,DATSCAN_LIGAND,DATSCAN_DATE,DATSCAN_VISINTRP"
    rows = ["P,80001,,03/2016,positive", "P,80002,99mTc-TRODAT-1,04/2016,negative", "P,80003,,05/2016,perhaps"]
    write(tmp_path, "Xing_Core_Lab_-_Visual_Read_05Jan2026.csv", head, *rows)
    head = "PATNO,EVENT_ID,INFODT,DATSCAN_IMAGE_ACCEPTABLE"
    write(tmp_path, "DaTScan_Acquisition_Metadata.csv", head, "80001,SC,03/2016,Yes", "80002,SC,04/2016,No")
    tables = load_tables(tmp_path)
    assert tables.reads == [
        ReadRow("80001", date(2016, 3, 15), is_positive=True),
        ReadRow("80002", date(2016, 4, 15), is_positive=False),
    ]
    assert tables.tracers["80002", "2016-04"] == "99mTc-TRODAT-1"
    assert tables.acceptable == {("80001", "SC"): True, ("80002", "SC"): False}
    assert "field DATSCAN_VISINTRP is 'perhaps', expected positive or negative" in list_reasons(tables)


def test_people(tmp_path: Path) -> None:
    """Status gives the group by number or word, demographics the sex, and ages go by visit."""
    write(tmp_path, "Participant_Status_05Jan2026.csv", "PATNO,COHORT", *(f"8000{n},{n}" for n in (1, 2, 3, 4)))
    write(tmp_path, "Words.csv", "PATNO,COHORT", "80005,Healthy Control", "80006,Parkinson's Disease", "80007,Other")
    write(tmp_path, "Demographics_05Jan2026.csv", "PATNO,EVENT_ID,BIRTHDT,SEX", "80001,TRANS,01/1950,0", "80002,,,1")
    write(tmp_path, "Age_at_visit_05Jan2026.csv", "PATNO,EVENT_ID,AGE_AT_VISIT", "80001,BL,66.2", "80001,V04,")
    tables = load_tables(tmp_path)
    names = ["PD", "HC", "SWEDD", "Prodromal", "HC", "PD", "Other"]
    assert tables.groups == {f"8000{n}": name for n, name in enumerate(names, 1)}
    assert tables.sexes == {"80001": "F", "80002": "M"}
    assert tables.ages == {("80001", "BL"): 66.2}
    assert tables.problems == []


def test_groups_of_the_archive_and_of_the_study(tmp_path: Path) -> None:
    """The study's cohort counts, and a conflict is listed; the archive's finer group stays."""
    groups = ["GenCohort PD", "Control", "PD", "Phantom", "GenReg Unaff"]
    rows = [f"{n},8000{n},{group},Baseline,3/1/2016" for n, group in enumerate(groups, 1)]
    write(tmp_path, "c.csv", "Image ID,Subject,Group,Visit,Acq Date", *rows)
    write(tmp_path, "s.csv", "PATNO,COHORT", "80001,1", "80002,2", "80003,3", "80005,4")
    tables = load_tables(tmp_path)
    expected = ["GenCohort PD", "HC", "SWEDD", "Phantom", "GenReg Unaff"]
    assert tables.groups == {f"8000{n}": group for n, group in enumerate(expected, 1)}
    (problem,) = tables.problems
    assert "subject 80003 is SWEDD here and PD in" in problem.reason


def test_results_of_tests_are_no_status(tmp_path: Path) -> None:
    """The huge table of laboratory results has cohort and sex in every row, and is not read."""
    write(tmp_path, "Biospecimen.csv", "PATNO,SEX,COHORT,CLINICAL_EVENT,TYPE,TESTNAME", "80001,Male,PD,BL,Serum,X")
    (account,) = load_tables(tmp_path).files
    assert (account.role, account.n_rows, account.is_used) == ("unknown", 0, False)


def test_leftovers_and_links(tmp_path: Path) -> None:
    """What a Mac or an open spreadsheet leaves is no table; a folder of links is read, and a loop ends."""
    write(tmp_path / "real", "a.csv", STAGES, "80001,BL,03/2016,2")
    write(tmp_path / "data", "._a.csv", STAGES, "80002,BL,03/2016,2")
    write(tmp_path / "data", "~$a.xlsx", "x")
    (tmp_path / "data" / "links").symlink_to(tmp_path / "real")
    (tmp_path / "data" / "loop").symlink_to(tmp_path / "data")
    (tmp_path / "data" / "dead.csv").symlink_to(tmp_path / "nowhere.csv")
    assert [file.path.name for file in load_tables(tmp_path / "data").files] == ["a.csv"]
    assert load_tables([tmp_path / "real" / "a.csv"]).stages == load_tables(tmp_path / "data").stages


def test_stems() -> None:
    """Names of one table in two releases have one stem."""
    names = ["MDS-UPDRS_Part_III_05Jan2026.csv", "MDS_UPDRS_Part_III.csv", "MDS_UPDRS_Part_III (1).csv"]
    assert {find_stem(Path(name)) for name in names} == {"mdsupdrspartiii"}
    assert find_named_day("mine_4_01_2025") == date(2025, 4, 1)
    assert find_named_day("x_2025-04-01") == date(2025, 4, 1)
    assert find_named_day("x_05Jan2026") == date(2026, 1, 5)
    assert find_named_day("x_2025") is None
