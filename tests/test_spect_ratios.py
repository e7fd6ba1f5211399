"""Our binding ratios beside published ones, by region and by side of the disease."""

from datetime import date
from pathlib import Path

import numpy as np
import pytest

from dlmi_tasks.spect.ppmi.analysis import compare_ratios
from dlmi_tasks.spect.ppmi.grouping import Case
from dlmi_tasks.spect.ppmi.identity import ImageFile
from dlmi_tasks.spect.ppmi.joining import Scan
from dlmi_tasks.spect.tables.load import load_tables

# By region: caudate left and right, putamen left and right.
OURS = np.array([[3.0, 2.0, 1.5, 1.0], [2.0, 3.0, 1.0, 1.5], [2.5, 2.6, 1.2, 1.1]], np.float32)


def make_scan(subject: str) -> Scan:
    return Scan(ImageFile(Path(f"{subject}.dcm"), subject, "", date(2020, 1, 1)), "BL", Case())


def test_affected_side_by_first_symptoms_then_by_the_lower_putamen() -> None:
    """Symptoms on the left are the right hemisphere's; without them the lower putamen of both labs together decides."""
    scans = [make_scan(subject) for subject in ("3001", "3002", "3003")]
    published = {(scan.image.subject, "BL"): tuple((row + 0.5).tolist()) for scan, row in zip(scans, OURS, strict=True)}
    found = compare_ratios(published, scans, OURS, {"3001": "L", "3003": "R"})  # the third against its putamen
    assert found is not None
    sides = found["by_side"]
    assert isinstance(sides, dict)
    assert (sides["n_by_first_symptoms"], sides["n_by_lower_putamen"]) == (2, 1)
    assert sides["affected putamen"]["ours_mean"] == pytest.approx((1.0 + 1.0 + 1.2) / 3)
    assert sides["other putamen"]["ours_mean"] == pytest.approx((1.5 + 1.5 + 1.1) / 3)
    assert sides["affected caudate"]["ours_mean"] == pytest.approx((2.0 + 2.0 + 2.5) / 3)
    assert sides["other caudate"]["difference_mean"] == pytest.approx(-0.5)


def test_side_of_first_symptoms_is_read(tmp_path: Path) -> None:
    """1 is left, 2 right; 3, both, is no side."""
    (tmp_path / "PD_Diagnosis_History.csv").write_text("PATNO,EVENT_ID,DOMSIDE\n3001,SC,1\n3002,SC,2\n3003,SC,3\n")
    assert load_tables(tmp_path).sides == {"3001": "L", "3002": "R"}


def test_groups_of_a_bids_tree(tmp_path: Path) -> None:
    """participants.tsv names groups, and sexes."""
    (tmp_path / "participants.tsv").write_text("participant_id\tgroup\tsex\nsub-3001\tPD\tM\nsub-3002\tcontrol\tF\n")
    tables = load_tables(tmp_path)
    assert tables.groups == {"3001": "PD", "3002": "HC"}
    assert tables.sexes == {"3001": "M", "3002": "F"}
